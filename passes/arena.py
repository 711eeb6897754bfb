"""Places buffers with known lifetimes in one arena (offset assignment): a few greedy orders, the best of
which wins.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""
_SHUFFLES = 64


@dataclass(frozen=True, slots=True)
class Request:
    """A buffer: its size in bytes (a multiple of ALIGNMENT), live from `first` to `last`, inclusive."""

    name: str
    nbytes: int
    first: int
    last: int

    @property
    def duration(self) -> int:
        return self.last - self.first + 1


def peak(requests: Iterable[Request]) -> int:
    """The most bytes live at one moment: no arena can be smaller."""
    change: dict[int, int] = {}
    for r in requests:
        change[r.first] = change.get(r.first, 0) + r.nbytes
        change[r.last + 1] = change.get(r.last + 1, 0) - r.nbytes
    return max(accumulate(change[t] for t in sorted(change)), default=0)


def place(requests: Sequence[Request]) -> tuple[dict[str, int], int]:
    """Name → offset, such that buffers live at the same time do not overlap; and the bytes of the arena.

    Tries greedy placement by size, size and lifetime, and time (Pisarchyk & Lee 2020, section 5), each with
    first and best fit, then seeded shuffles of the best order, and stops at the lower bound.
    """
    bound = peak(requests)
    best: tuple[dict[str, int], int] = {}, 0
    best_order: list[Request] = []
    for key in _ORDERS:
        order = sorted(requests, key=key)
        for tightest in (False, True):
            found = _greedy(order, tightest)
            if not best_order or found[1] < best[1]:
                best, best_order = found, order
            if best[1] == bound:
                return best
    generator = random.Random(0)
    for _ in range(_SHUFFLES if best_order else 0):
        order = _perturbed(best_order, generator)
        found = _greedy(order, True)
        if found[1] < best[1]:
            best, best_order = found, order
        if best[1] == bound:
            break
    return best


_ORDERS: tuple[Callable[[Request], tuple[int, int]], ...] = (
    lambda r: (-r.nbytes, r.first),
    lambda r: (-r.nbytes, -r.duration),
    lambda r: (-r.nbytes * r.duration, r.first),
    lambda r: (-r.duration, -r.nbytes),
    lambda r: (r.first, -r.nbytes),
    lambda r: (r.first, -r.duration),
    lambda r: (-r.last, -r.nbytes),
)


def _perturbed(order: Sequence[Request], generator: random.Random) -> list[Request]:
    changed = list(order)
    for _ in range(max(1, len(changed) // 16)):
        i, j = generator.randrange(len(changed)), generator.randrange(len(changed))
        changed.insert(i, changed.pop(j))
    return changed


def _greedy(order: Sequence[Request], tightest: bool) -> tuple[dict[str, int], int]:
    """Each buffer in turn goes to the lowest gap that fits, or the smallest."""
    placed: list[tuple[int, Request]] = []
    offsets: dict[str, int] = {}
    for request in order:
        taken = sorted(
            (offset, offset + r.nbytes)
            for offset, r in placed
            if r.first <= request.last and request.first <= r.last
        )
        offset = _gap(taken, request.nbytes, tightest)
        offsets[request.name] = offset
        placed.append((offset, request))
    return offsets, max((o + r.nbytes for o, r in placed), default=0)


def _gap(taken: Sequence[tuple[int, int]], nbytes: int, tightest: bool) -> int:
    end, best, best_size = 0, -1, 0
    for start, stop in taken:
        size = start - end
        if size >= nbytes and (best < 0 or size < best_size):
            best, best_size = end, size
            if not tightest:
                return best
        end = max(end, stop)
    return best if best >= 0 else end
