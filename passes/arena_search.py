"""Places buffers within a given number of bytes, one stretch of the step after another.

A model is a chain of layers with little alive between them. The step is cut where the fewest buffers cross; each
stretch is packed by seeded trial, starting from where the crossing buffers lie, and undone if the next one fails.
Stretches that look alike from the same start share their trials, so the cost hardly grows with the layers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from cosyn.passes.arena_requests import Request, crossing

_TRIALS = 300
_STEPS_PER_STRETCH = 50

Placed = tuple[tuple[Request, int], ...]
"""Buffers and their offsets."""


@dataclass(frozen=True)
class _Stretch:
    """Buffers that begin within `start`..`end`, in order."""

    start: int
    end: int
    requests: tuple[Request, ...]


def search(requests: Sequence[Request], capacity: int) -> dict[str, int] | None:
    """Name → offset such that nothing reaches beyond `capacity` and no two live buffers overlap; None if not found."""
    return _Search(_stretches(requests), capacity).run()


def _stretches(requests: Sequence[Request]) -> list[_Stretch]:
    last = max(r.last for r in requests)
    counts = crossing(requests)
    fewest = min((counts[t] for t in range(last) if counts[t]), default=0)
    ends = [t for t in range(last) if counts[t] <= fewest] + [last]
    starts = [0, *(e + 1 for e in ends[:-1])]
    inside = sorted(requests, key=lambda r: (r.first, r.last, r.nbytes))
    return [_Stretch(s, e, tuple(r for r in inside if s <= r.first <= e)) for s, e in zip(starts, ends, strict=True)]


@dataclass
class _Search:
    stretches: list[_Stretch]
    capacity: int
    _solutions: dict[object, list[tuple[int, ...]]] = field(default_factory=dict)
    _failed: set[object] = field(default_factory=set)

    def run(self) -> dict[str, int] | None:
        # An explicit stack: a model may have more layers than Python has frames to spare.
        entries: list[Placed] = [()]
        choices: list[list[tuple[int, ...]]] = [self._pack(0, ())]
        taken: list[tuple[int, ...]] = []
        for _ in range(_STEPS_PER_STRETCH * len(self.stretches)):
            if not choices:
                return None
            if not choices[-1]:
                choices.pop()
                self._failed.add((len(choices), self._start(len(choices), entries.pop())))
                if taken:
                    taken.pop()
                continue
            taken.append(choices[-1].pop())
            if len(taken) == len(self.stretches):
                return self._offsets(taken)
            following = self._leaving(len(taken) - 1, entries[-1], taken[-1])
            if (len(taken), self._start(len(taken), following)) in self._failed:
                taken.pop()
                continue
            entries.append(following)
            choices.append(self._pack(len(taken), following))
        return None

    def _offsets(self, taken: list[tuple[int, ...]]) -> dict[str, int]:
        pairs = zip(self.stretches, taken, strict=True)
        return {r.name: o for s, offsets in pairs for r, o in zip(s.requests, offsets, strict=True)}

    def _leaving(self, index: int, entry: Placed, offsets: tuple[int, ...]) -> Placed:
        stretch = self.stretches[index]
        placed = (*entry, *zip(stretch.requests, offsets, strict=True))
        return tuple((r, o) for r, o in placed if r.last > stretch.end)

    def _start(self, index: int, entry: Placed) -> object:
        """What of `entry` matters to the stretch and those after it."""
        begin = self.stretches[index].start
        return tuple((r.nbytes, r.last - begin, o) for r, o in entry)

    def _pack(self, index: int, entry: Placed) -> list[tuple[int, ...]]:
        """Ways to place the stretch's buffers, one for each way in which they leave it."""
        stretch = self.stretches[index]
        shape = tuple((r.nbytes, r.first - stretch.start, r.last - stretch.start) for r in stretch.requests)
        key = shape, self._start(index, entry)
        if key not in self._solutions:
            generator = random.Random(0)
            found: dict[object, tuple[int, ...]] = {}
            for _ in range(_TRIALS):
                offsets = _trial(stretch.requests, entry, self.capacity, generator)
                if offsets is not None:
                    leaving = self._leaving(index, entry, offsets)
                    found.setdefault(tuple(o for _, o in leaving), offsets)
            self._solutions[key] = list(found.values())
        return list(self._solutions[key])


def _trial(
    requests: Sequence[Request], entry: Placed, capacity: int, generator: random.Random
) -> tuple[int, ...] | None:
    """Offsets from one pass in a random order, large ones mostly first, each at a random end of a free gap."""
    placed = list(entry)
    offsets: dict[str, int] = {}
    for request in sorted(requests, key=lambda r: -r.nbytes * generator.lognormvariate(0, 0.5)):
        taken = sorted((o, o + r.nbytes) for r, o in placed if r.overlaps(request))
        ends = _free_ends(taken, request.nbytes, capacity)
        if not ends:
            return None
        offsets[request.name] = generator.choice(ends)
        placed.append((request, offsets[request.name]))
    return tuple(offsets[r.name] for r in requests)


def _free_ends(taken: Sequence[tuple[int, int]], nbytes: int, capacity: int) -> list[int]:
    """Offsets at which `nbytes` fit against the lower or upper end of a gap."""
    found = []
    end = 0
    for start, stop in (*taken, (capacity, capacity)):
        if start - end >= nbytes:
            found += [end, start - nbytes]
        end = max(end, stop)
    return found
