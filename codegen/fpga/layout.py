"""How the columns of a value lie on the cores: which column each place of a core's vector holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.int64]
"""For each place the column that lies there, -1 for padding (which holds zeros)."""

PADDING = -1


def round_up(value: int, unit: int) -> int:
    """The smallest multiple of `unit` that is at least `value`."""
    return -(-value // unit) * unit


def padded(columns: Columns, unit: int) -> Columns:
    """`columns` followed by padding up to a multiple of `unit`."""
    missing = round_up(len(columns), unit) - len(columns)
    return np.concatenate([columns, np.full(missing, PADDING, np.int64)])


def natural(count: int, lanes: int) -> Columns:
    """Columns 0 … count - 1 in order, padded to whole lines."""
    return padded(np.arange(count), lanes)


def split(count: int, cores: int, lanes: int) -> list[range]:
    """Consecutive ranges of 0 … count - 1, as even as whole lines allow; a core may have none."""
    lines = -(-count // lanes)
    bounds = [min(count, core * lines // cores * lanes) for core in range(cores + 1)]
    bounds[-1] = count
    return [range(a, b) for a, b in pairwise(bounds)]


@dataclass(frozen=True)
class Placement:
    """Where the columns of a value are: one array of places per core, in whole lines.

    `whole`: every core has all of them, in one order; otherwise each core has its own.
    """

    cores: tuple[Columns, ...]
    whole: bool

    @property
    def width(self) -> int:
        """Places of the widest core."""
        return max(len(c) for c in self.cores)

    @property
    def is_natural(self) -> bool:
        """Whether every core has its columns in rising order, with padding only at the end."""
        return all(_rises(c) for c in self.cores)

    def joined(self) -> Placement:
        """The placement after an exchange: all cores' places one after the other."""
        together = np.concatenate(self.cores)
        return Placement((together,) * len(self.cores), True)

    def offsets(self) -> tuple[int, ...]:
        """Where each core's places start after an exchange."""
        return tuple(int(n) for n in np.cumsum([0, *(len(c) for c in self.cores[:-1])]))


def whole(columns: Columns, cores: int) -> Placement:
    """The same places on every core."""
    return Placement((columns,) * cores, True)


def split_flat(count: int, cores: int, lanes: int) -> Placement:
    """Each core has a range of the columns, padded to whole lines."""
    parts = split(count, cores, lanes)
    return Placement(tuple(padded(np.arange(p.start, p.stop), lanes) for p in parts), False)


def equal(first: Placement, second: Placement) -> bool:
    """Whether every core has the same column in the same place."""
    return len(first.cores) == len(second.cores) and all(
        np.array_equal(a, b) for a, b in zip(first.cores, second.cores, strict=True)
    )


def valid_columns(columns: Columns) -> int:
    """Places before the padding at the end."""
    used = np.flatnonzero(columns != PADDING)
    return int(used[-1]) + 1 if len(used) else 0


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Several places one after the other."""
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _rises(columns: Columns) -> bool:
    used = valid_columns(columns)
    return bool(np.all(columns[:used] != PADDING) and np.all(np.diff(columns[:used]) == 1))
