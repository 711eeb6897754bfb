"""Places buffers with known lifetimes in one arena: offset assignment, by greedy orders and then by search."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from cosyn.passes.arena_requests import ALIGNMENT, Request, peak
from cosyn.passes.arena_search import search


def place(requests: Sequence[Request]) -> tuple[dict[str, int], int]:
    """Name → offset, such that buffers live at the same time do not overlap; and the bytes of the arena.

    Tries greedy placement by size, size and lifetime, and time (Pisarchyk & Lee 2020, section 5), each with
    first and best fit; then seeded orders of the kinds of buffers (same size and lifetime: what repeats from
    layer to layer); then `arena_search` within the lower bound, or a little more. Stops at the lower bound.
    """
    if not requests:
        return {}, 0
    bound = peak(requests)
    best: tuple[dict[str, int], int] | None = None
    for order in _orders(requests):
        for tightest in (False, True):
            found = _greedy(order, tightest)
            if best is None or found[1] < best[1]:
                best = found
            if best[1] == bound:
                return best
    assert best is not None
    for slack in _SLACKS:
        capacity = bound + int(bound * slack) // ALIGNMENT * ALIGNMENT
        if capacity >= best[1]:
            break
        offsets = search(requests, capacity)
        if offsets is not None:
            return offsets, max(offsets[r.name] + r.nbytes for r in requests)
    return best


def _orders(requests: Sequence[Request]) -> Iterator[list[Request]]:
    for key in _KEYS:
        yield sorted(requests, key=key)
    kinds = sorted({_kind(r) for r in requests}, reverse=True)
    generator = random.Random(0)
    for _ in range(_SEARCH):
        # Large and small swap places now and then; a shuffle of everything is rarely any good.
        noise = generator.choice((0.3, 1.0, 3.0))
        rank = {kind: i + generator.gauss(0, noise * len(kinds) / 4) for i, kind in enumerate(kinds)}
        yield sorted(requests, key=lambda r: (rank[_kind(r)], r.first))


def _kind(request: Request) -> tuple[int, int]:
    return request.nbytes, request.duration


_SEARCH = 48
_SLACKS = (0.0, 0.01, 0.02, 0.05)
_KEYS: tuple[Callable[[Request], tuple[int, int]], ...] = (
    lambda r: (-r.nbytes, r.first),
    lambda r: (-r.nbytes, -r.duration),
    lambda r: (-r.nbytes * r.duration, r.first),
    lambda r: (-r.duration, -r.nbytes),
    lambda r: (r.first, -r.nbytes),
    lambda r: (r.first, -r.duration),
    lambda r: (-r.last, -r.nbytes),
)


def _greedy(order: Sequence[Request], tightest: bool) -> tuple[dict[str, int], int]:
    """Each buffer in turn goes to the lowest gap that fits, or the smallest."""
    offsets: dict[str, int] = {}
    live: dict[int, list[tuple[int, int]]] = defaultdict(list)  # moment → what is placed and live then
    total = 0
    for request in order:
        moments = range(request.first, request.last + 1)
        taken = sorted({span for moment in moments for span in live[moment]})
        offset = _gap(taken, request.nbytes, tightest)
        offsets[request.name] = offset
        total = max(total, offset + request.nbytes)
        for moment in moments:
            live[moment].append((offset, offset + request.nbytes))
    return offsets, total


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
