"""Buffers that want a place in the arena, and what their lifetimes say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


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

    def overlaps(self, other: Request) -> bool:
        """Whether both are live at some moment."""
        return self.first <= other.last and other.first <= self.last


def peak(requests: Iterable[Request]) -> int:
    """The most bytes live at one moment: no arena can be smaller."""
    change: Counter[int] = Counter()
    for r in requests:
        change[r.first] += r.nbytes
        change[r.last + 1] -= r.nbytes
    return max(accumulate(change[t] for t in sorted(change)), default=0)


def crossing(requests: Iterable[Request]) -> Counter[int]:
    """Moment t → how many buffers are live both at t and at t + 1."""
    counts: Counter[int] = Counter()
    for r in requests:
        counts.update(range(r.first, r.last))
    return counts
