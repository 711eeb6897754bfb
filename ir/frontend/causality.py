"""Reads a bias of attention scores as what the IR's attention knows: causality, a window, ALiBi slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosyn.ir.frontend.lowering import PositionInput
from cosyn.ir.frontend.positional import Array, PositionValues

_HIDDEN = -1e4  # e to this power is 0 in f32 and f64, so the key has no influence
_LONGEST = 2048  # positions looked at one by one
_SAMPLED = 257  # positions looked at of a longer range


@dataclass(frozen=True)
class ScoreBias:
    """`window`: how many of the latest positions are visible, None for all; `slopes` f32[heads] of ALiBi."""

    window: int | None
    slopes: Array | None


def read_bias(
    terms: Sequence[tuple[PositionInput, float]], positional: PositionValues, heads: int, max_seq: int
) -> ScoreBias | None:
    """The bias that the sum of `terms` (values, factor) gives scores `[heads, seq, seq]`; None if another."""
    near = np.arange(min(max_seq, _LONGEST))
    found = _read(_total(terms, positional, near), near, heads)
    if found is None or max_seq <= _LONGEST:
        return found
    far = np.unique(np.linspace(0, max_seq - 1, _SAMPLED).astype(int))
    distance = np.subtract.outer(far, far)
    visible = ~(_total(terms, positional, far) <= _HIDDEN)
    expected = (distance >= 0) & (distance < (found.window or max_seq))
    return found if visible.ndim == 3 and (visible == expected).all() else None


def _total(terms: Sequence[tuple[PositionInput, float]], positional: PositionValues, positions: Array) -> Array:
    """The bias `[heads or 1, n, n]` for tokens at `positions`."""
    total = np.zeros((1, 1, 1))
    with np.errstate(invalid="ignore"):
        for value, factor in terms:
            array = value.at(positional, positions.tolist()).astype(np.float64)
            total = total + array.reshape((1,) * max(0, 3 - array.ndim) + array.shape[-3:]) * factor
    return total


def _read(total: Array, positions: Array, heads: int) -> ScoreBias | None:
    length = len(positions)
    if total.ndim != 3 or total.shape[0] not in (1, heads) or total.shape[-1] != length:
        return None
    total = np.broadcast_to(total, (total.shape[0], length, length))
    visible = ~(total <= _HIDDEN)
    if not (visible == visible[:1]).all():
        return None
    distance = np.subtract.outer(positions, positions)
    seen = distance[visible[0]]
    if not len(seen) or seen.min() != 0:
        return None
    window = int(seen.max()) + 1
    if not np.array_equal(visible[0], (distance >= 0) & (distance < window)):
        return None
    slopes = _slopes(total, visible, distance, heads)
    if slopes is None:
        return None
    return ScoreBias(None if window == length else window, slopes if slopes.any() else None)


def _slopes(total: Array, visible: Array, distance: Array, heads: int) -> Array | None:
    """Slopes by which the visible bias falls with distance, zeros if constant; None if it does neither."""
    length = total.shape[-1]
    if length < 2:
        return np.zeros(heads, np.float32)
    slopes = total[:, 1, 1] - total[:, 1, 0] if visible[0, 1, 0] else np.zeros(len(total))
    rest = np.where(visible, total + slopes[:, None, None] * distance, 0)
    own = np.diagonal(rest, axis1=1, axis2=2)[:, :, None]  # a constant per row changes nothing
    if np.abs(np.where(visible, rest - own, 0)).max() > 1e-4 * max(1.0, float(np.abs(slopes).max()) * length):
        return None
    return np.broadcast_to(slopes, (heads,)).astype(np.float32)
