"""Products of INT8 matrices, exact in INT32, at the speed of a float matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.numerics.float32 import F32, from_int32, multiply

# 127 · 128 · 1024 < 2^24: f32 sums of so many products are exact in every order.
_EXACT = 1024
# Elements of the second matrix that are widened at once.
_PIECE = 1 << 22


def integer_product(a: npt.NDArray[np.int8], b: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """a · bᵀ: INT8 `a` [..., m, k] with elements in -127..127 and `b` [..., n, k] give INT32 [..., m, n]."""
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"rows of {a.shape[-1]} cannot be multiplied by rows of {b.shape[-1]}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = np.zeros((*batch, a.shape[-2], b.shape[-2]), np.int32)
    depth = a.shape[-1]
    height = max(1, _PIECE // max(1, min(depth, _EXACT)))
    for start in range(0, depth, _EXACT):
        columns = slice(start, start + _EXACT)
        left = a[..., columns].astype(np.float32)
        for top in range(0, b.shape[-2], height):
            rows = slice(top, top + height)
            right = b[..., rows, columns].astype(np.float32)
            out[..., rows] += (left @ np.swapaxes(right, -1, -2)).astype(np.int32)
    return out


def scaled(sums: npt.NDArray[np.int32], column_scale: Any = None, token_scale: Any = None) -> F32:
    """The matrix engine's drain: sums [..., m, n] as f32, times column_scale [..., n], then token_scale [..., m]."""
    y = from_int32(sums)
    if column_scale is not None:
        y = multiply(y, np.asarray(column_scale)[..., None, :])
    return y if token_scale is None else multiply(y, np.asarray(token_scale)[..., None])
