"""Where the rows of block masks change: the spans of positions that have programs of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Seen = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Span:
    """Positions `first` to `last`, which see the same earlier ones."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Tokens of the longest step in it."""
        return self.last + 1 - self.first


@dataclass(frozen=True, eq=False)
class HeadMask:
    """A block mask of every head: `blocks` bool [heads, rows, rows], each of `block` positions."""

    blocks: Seen
    block: int

    @staticmethod
    def of(values: NDArray[Any], block: int, max_seq: int) -> HeadMask:
        """The part of u8 [heads, rows, rows] that `max_seq` positions need."""
        rows = -(-max_seq // block)
        return HeadMask(values[:, :rows, :rows] != 0, block)

    @property
    def hides(self) -> bool:
        """Whether any head does not see an earlier position, or its own block."""
        rows = self.blocks.shape[1]
        return not bool(self.blocks[:, np.tri(rows, dtype=bool)].all())

    def seen(self, position: int) -> Seen:
        """What a token at `position` sees as far as the mask goes: bool [heads, position + 1]."""
        row = position // self.block
        return np.repeat(self.blocks[:, row, : row + 1], self.block, axis=1)[:, : position + 1]


def spans_of(masks: Sequence[HeadMask], unit: int, max_seq: int, *, windowed: bool) -> tuple[Span, ...]:
    """The spans for these masks, as long as may be.

    Rows that agree join: where they begin in the same unit of the cache, and, unless a window hides some of it, where
    every head sees all that lies between.
    """
    starts = sorted({row for mask in masks for row in range(0, max_seq, mask.block)})
    firsts: list[int] = []
    for start in starts:
        if not firsts or not all(_joins(mask, unit, firsts[-1], start, windowed) for mask in masks):
            firsts.append(start)
    return tuple(Span(first, end - 1) for first, end in zip(firsts, [*firsts[1:], max_seq], strict=True)) or (
        Span(0, max_seq - 1),
    )


def _joins(mask: HeadMask, unit: int, first: int, start: int, windowed: bool) -> bool:
    """Whether the row that begins at `start` sees before it what the row of `start` - 1 sees there."""
    now, tail = mask.seen(start)[:, :start], first // unit * unit
    if not np.array_equal(now, mask.seen(start - 1)):
        return False
    return start // unit * unit == tail or (not windowed and bool(now[:, tail:].all()))
