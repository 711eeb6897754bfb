"""Progressive quantization: low-bit codes, an integer scale for each group, one float scale for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.ir.weight_format import QuantizedWeight, WeightFormat

Array = npt.NDArray[Any]

# Elements treated at once: the temporaries stay in the cache of one core.
_PIECE = 1 << 16

# By how many codes the largest magnitude of a group is divided to find scales to try; the best is kept.
_CODES = {2: (0.8, 1.0, 1.25, 1.6, 2.0, 2.5), 3: (2.6, 3.0, 3.4, 4.0, 4.6), 4: (6.4, 7.0, 7.6, 8.0, 8.8)}


def quantize_progressive(array: Array, fmt: WeightFormat) -> QuantizedWeight:
    """`array` `[..., rows, columns]` in `fmt`, whose scales are integers: value = row scale · integer · code.

    The row scale maps the row's largest magnitude to 127. Each group then takes, of a few integers around its range,
    the one with the smallest squared error; codes are clipped so that integer · code fits -128..127. Last, the row
    scale becomes the one with the least squared error for these integers and codes.
    """
    *lead, columns = array.shape
    size = fmt.group(columns)
    groups = -(-columns // size)
    rows = array.reshape(-1, columns)
    codes = np.empty(rows.shape, np.int8)
    integers = np.empty((len(rows), groups), np.uint8)
    scales = np.empty((len(rows), 1), fmt.scale_dtype.numpy)
    step = max(1, _PIECE // columns)
    for start in range(0, len(rows), step):
        piece = slice(start, start + step)
        x = np.zeros((len(rows[piece]), groups * size), np.float32)
        x[:, :columns] = rows[piece]
        found, integers[piece], scales[piece] = _quantize(x.reshape(-1, groups, size), fmt)
        codes[piece] = found.reshape(len(x), -1)[:, :columns]
    return QuantizedWeight(
        fmt, codes.reshape(array.shape), scales.reshape(*lead, 1), None, integers.reshape(*lead, groups)
    )


def _quantize(x: Array, fmt: WeightFormat) -> tuple[Array, Array, Array]:
    """Codes, integers and row scales of `x` [rows, groups, size]."""
    top = np.abs(x).max(-1)
    scale = np.maximum(top.max(-1, keepdims=True), np.float32(1e-30)) / np.float32(127)
    z = x / scale[..., None]
    top /= scale
    best = np.full(top.shape, np.inf, np.float32)
    codes = np.zeros(x.shape, np.float32)
    integers = np.ones(top.shape, np.float32)
    for divisor in _CODES[fmt.bits]:
        integer = np.clip(np.rint(top / np.float32(divisor)), 1, 127 // fmt.high)
        tried, error = _codes(z, integer, fmt)
        better = error < best
        np.copyto(codes, tried, where=better[..., None])
        np.copyto(integers, integer, where=better)
        np.copyto(best, error, where=better)
    expanded = codes * integers[..., None]
    inner = np.einsum("rgs,rgs->r", x, expanded, dtype=np.float64)
    energy = np.einsum("rgs,rgs->r", expanded, expanded, dtype=np.float64)
    scales = np.divide(inner, energy, out=np.zeros_like(inner), where=energy > 0)
    return codes, integers, scales[:, None]


def _codes(z: Array, integer: Array, fmt: WeightFormat) -> tuple[Array, Array]:
    """Codes of `z`, as floats, and the squared error of each group."""
    codes = np.rint(z * (1 / integer)[..., None])
    np.minimum(codes, np.minimum(fmt.high, np.floor(127 / integer))[..., None], out=codes)
    np.maximum(codes, np.maximum(fmt.low, -np.floor(128 / integer))[..., None], out=codes)
    error = codes * integer[..., None]
    error -= z
    return codes, np.einsum("rgs,rgs->rg", error, error)
