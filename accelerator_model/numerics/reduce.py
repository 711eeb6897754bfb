"""Reductions over the columns of a row, in the order in which the special-function unit makes them.

A row lies in lines of `lanes` columns: column j is lane j % lanes of line j // lanes. Each lane keeps four partial
results; line i goes to partial i % 4, in order of i, starting from +0 (sums, absolute maximum) or -MAX_FINITE
(maximum). A lane's result is (P0 o P1) o (P2 o P3); the lanes are then joined by a balanced tree, neighbours first:
(lane 0 o lane 1), (lane 2 o lane 3), ..., level by level. Columns that are masked off do not take part.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.numerics import float32
from cosyn.accelerator_model.numerics.float32 import F32, MAX_FINITE

PARTIALS = 4
"""Partial results that a lane keeps: the latency of its adder may be as long, and still a line comes every cycle."""


def reduce_sum(y: F32, lanes: int) -> F32:
    """Sum over the last axis of `y` [..., columns]; masked columns must hold +0. f32 [...]."""
    lines = _lines(y, lanes)
    partial = np.zeros((*lines.shape[:-3], PARTIALS, lanes), np.float32)
    for step in range(lines.shape[-3]):
        partial = float32.add(partial, lines[..., step, :, :])
    pair = float32.add(partial[..., 0::2, :], partial[..., 1::2, :])
    total = float32.add(pair[..., 0, :], pair[..., 1, :])
    while total.shape[-1] > 1:
        total = float32.add(total[..., 0::2], total[..., 1::2])
    return total[..., 0]


def reduce_sum_squares(y: F32, lanes: int) -> F32:
    """Sum of multiply(y, y) over the last axis of `y` [..., columns]; masked columns must hold +0. f32 [...]."""
    return reduce_sum(float32.multiply(y, y), lanes)


def reduce_maximum(y: F32, taking_part: npt.NDArray[np.bool_] | None = None) -> F32:
    """Largest element of each row of `y` [..., columns] where `taking_part`; -MAX_FINITE where nothing does."""
    y = float32.normalise(y)
    if taking_part is not None:
        y = np.where(taking_part, y, -MAX_FINITE)
    return np.asarray(y.max(-1, initial=-MAX_FINITE))


def reduce_absolute_maximum(y: F32) -> F32:
    """Largest magnitude of each row of `y` [..., columns]; masked columns must hold +0. f32 [...]."""
    return np.asarray(np.abs(float32.normalise(y)).max(-1, initial=np.float32(0)))


def _lines(y: F32, lanes: int) -> F32:
    """`y` [..., columns] as [..., steps, PARTIALS, lanes]; missing columns are +0, which adds nothing."""
    y = float32.normalise(y)
    block = PARTIALS * lanes
    missing = -y.shape[-1] % block
    if missing:
        y = np.concatenate([y, np.zeros((*y.shape[:-1], missing), np.float32)], -1)
    return y.reshape(*y.shape[:-1], -1, PARTIALS, lanes)
