"""Which units of the cache the heads of a group read under a block mask, and the loads that bring them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cosyn.codegen.fpga.mask_spans import HeadMask, Span


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a group of heads sees: by its mask, and by its window after its sinks (0: no window)."""

    mask: HeadMask
    heads: tuple[int, ...]
    window: int
    sinks: int

    def edges(self, span: Span) -> tuple[int, int]:
        """Where the window of the span's first position begins, and that of its last."""
        if not self.window:
            return 0, 0
        return max(0, span.first + 1 - self.window), max(0, span.last + 1 - self.window)

    def needed(self, span: Span, tail: int, unit: int) -> set[int]:
        """Units before position `tail` that some token of the span needs for some head.

        Where a window begins among them, all units are: the special-function unit counts its columns from the end.
        """
        seen = np.asarray(self.mask.seen(span.last)[list(self.heads)].any(axis=0))[:tail]
        first, last = self.edges(span)
        places = np.arange(tail)
        seen &= (places >= first) | (places < self.sinks)
        found = {int(u) for u in np.flatnonzero(seen.reshape(-1, unit).any(axis=1))}
        if last:
            found |= set(range(first // unit, min(last // unit + 1, tail // unit)))
        return found

    def columns(self, span: Span, tail: int, unit: int, units: Sequence[int]) -> tuple[int, int]:
        """The window and the sinks, counted in columns: of `units`, then of the positions from `tail` on."""
        _, last = self.edges(span)
        if not last:
            return 0, 0
        gaps = sum(u not in units for u in range(last // unit + 1, tail // unit))
        sinks = sum(min(unit, max(0, self.sinks - u * unit)) for u in units)
        return self.window - gaps * unit, sinks + max(0, min(self.sinks, span.last + 1) - tail)


@dataclass(frozen=True, slots=True)
class Run:
    """`count` runs of `length` units from unit `first` on, one every `stride`: what one load brings."""

    first: int
    length: int
    count: int = 1
    stride: int = 0


def runs_of(units: Sequence[int]) -> tuple[Run, ...]:
    """Ascending units as runs; those that follow one another evenly are one."""
    pieces: list[Run] = []
    for unit in units:
        if pieces and pieces[-1].first + pieces[-1].length == unit:
            pieces[-1] = Run(pieces[-1].first, pieces[-1].length + 1)
        else:
            pieces.append(Run(unit, 1))
    found: list[Run] = []
    for piece in pieces:
        before = found[-1] if found else None
        if before is not None and before.length == piece.length:
            stride = before.stride or piece.first - before.first
            if piece.first == before.first + before.count * stride:
                found[-1] = Run(before.first, before.length, before.count + 1, stride)
                continue
        found.append(piece)
    return tuple(found)


def equally_many(wanted: Sequence[set[int]], total: int, most_loads: int) -> list[tuple[int, ...]]:
    """As many of the first `total` units for each group, those wanted among them, in at most `most_loads` loads.

    One set of registers serves all groups, so they read as much: groups that want less also read units between those
    that they want.
    """
    found = [set(units) for units in wanted]
    while True:
        for units in found:
            while len(runs_of(sorted(units))) > most_loads:
                _grow(units, total)
        count = max((len(units) for units in found), default=0)
        for units in found:
            while len(units) < count:
                _grow(units, total)
        if all(len(runs_of(sorted(units))) <= most_loads for units in found):
            return [tuple(sorted(units)) for units in found]


def _grow(units: set[int], total: int) -> None:
    """Add the last unit of the smallest gap, between two of them or before the tail, or else the one before all."""
    places = [*sorted(units), total]
    gaps = [(after - before, after - 1) for before, after in pairwise(places) if after > before + 1]
    units.add(min(gaps)[1] if gaps else places[0] - 1)
