"""Reads a bias of attention scores as what the IR's attention knows: causality, a window, ALiBi slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosyn.ir.frontend.lowering import PositionInput
from cosyn.ir.frontend.positional import Array, PositionValues

_HIDDEN = -1e4  # e to this power is 0 in f32 and f64, so the key has no influence
_LONGEST = 2048  # positions looked at; a bias is taken to go on in the same way


@dataclass(frozen=True)
class ScoreBias:
    """`window`: how many of the latest positions are visible, None for all; `slopes` f32[heads] of ALiBi."""

    window: int | None
    slopes: Array | None


def read_bias(
    terms: Sequence[tuple[PositionInput, float]], positional: PositionValues, heads: int, max_seq: int
) -> ScoreBias | None:
    """The bias that the sum of `terms` (values, factor) gives scores `[heads, seq, seq]`; None if another."""
    length = min(max_seq, _LONGEST)
    positions = tuple(range(length))
    total = np.zeros((1, 1, 1))
    with np.errstate(invalid="ignore"):
        for value, factor in terms:
            array = value.at(positional, positions).astype(np.float64)
            total = total + array.reshape((1,) * max(0, 3 - array.ndim) + array.shape[-3:]) * factor
    if total.ndim != 3 or total.shape[0] not in (1, heads) or total.shape[-1] != length:
        return None
    total = np.broadcast_to(total, (total.shape[0], length, length))
    visible = ~(total <= _HIDDEN)
    if not (visible == visible[:1]).all():
        return None
    distance = np.subtract.outer(np.arange(length), np.arange(length))
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
