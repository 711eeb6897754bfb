"""Rounding to nearest: the plain way to quantize a weight matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import QuantizedWeight, WeightFormat
from cosyn.passes.progressive import quantize_progressive
from cosyn.passes.prune import prune

Array = npt.NDArray[Any]

# Elements treated at once: small enough to stay in the cache of one core through the dozen passes over them.
_PIECE = 1 << 17


def quantize_rtn(array: Array, fmt: WeightFormat) -> QuantizedWeight:
    """`array` `[..., rows, columns]` of any float type as codes in `fmt`, each group scaled by its own range.

    Symmetric: the scale maps the element of largest magnitude to the end of the code range that has its sign,
    or the largest magnitude to the positive end, whichever leaves the smaller squared error. Asymmetric:
    scale and zero point span the group's range, zero included. Scales are rounded to `fmt.scale_dtype` first,
    so the rounding of codes makes up for it. Integer scales: see `progressive.py`. A sparse format drops weights
    first. Raises ValueError where the group does not divide the columns and has to.
    """
    if fmt.kept:
        array = prune(array, fmt.kept)
    if fmt.integer_scales:
        return quantize_progressive(array, fmt)
    *lead, columns = array.shape
    size = fmt.group(columns)
    groups = array.reshape(-1, size)
    codes: Array = np.empty(groups.shape, np.int8 if fmt.symmetric else np.uint8)
    scales = np.empty(len(groups), fmt.scale_dtype.numpy)
    zeros = None if fmt.symmetric else np.empty(len(groups), np.uint8)
    step = max(1, _PIECE // size)
    for start in range(0, len(groups), step):
        piece = slice(start, start + step)
        x = groups[piece].astype(np.float32)
        if zeros is None:
            codes[piece], scales[piece] = _symmetric(x, fmt)
        else:
            codes[piece], scales[piece], zeros[piece] = _asymmetric(x, fmt)
    shape = (*lead, columns // size)
    return QuantizedWeight(
        fmt,
        codes.reshape(array.shape),
        scales.reshape(shape),
        None if zeros is None else zeros.reshape(shape),
    )


def decode_rtn(_ref: str, type_: TensorType, array: Array) -> Array:
    """The values that `array` has after quantization in the format of its type: an interpreter's `stored`
    hook.
    """
    return array if type_.format is None else quantize_rtn(array, type_.format).decode()


def _symmetric(x: Array, fmt: WeightFormat) -> tuple[Array, Array]:
    high, low = x.max(1), x.min(1)
    top = np.maximum(high, -low)
    plain = _rounded(top / fmt.high, fmt)
    codes, error = _codes(x, plain, fmt)
    if fmt.bits == 8:
        # One more code among 256 gains nothing that would pay for the search.
        return codes.astype(np.int8), plain
    full = _rounded(np.where(high > -low, top, -top) / fmt.low, fmt)
    other, other_error = _codes(x, full, fmt)
    better = other_error < error
    np.copyto(codes, other, where=better[:, None])
    return codes.astype(np.int8), np.where(better, full, plain)


def _asymmetric(x: Array, fmt: WeightFormat) -> tuple[Array, Array, Array]:
    high, low = np.maximum(x.max(1), 0), np.minimum(x.min(1), 0)
    scales = _rounded((high - low) / fmt.high, fmt)
    inverse = _inverse(scales)
    zeros = np.clip(np.rint(-low * inverse), 0, fmt.high)
    x *= inverse[:, None]
    x += zeros[:, None]
    codes = np.clip(np.rint(x, out=x), 0, fmt.high, out=x)
    return codes.astype(np.uint8), scales, zeros.astype(np.uint8)


def _codes(x: Array, scales: Array, fmt: WeightFormat) -> tuple[Array, Array]:
    """Codes, still as floats, and the squared error of each group."""
    scaled = x * _inverse(scales)[:, None]
    codes = np.rint(scaled)
    np.minimum(codes, fmt.high, out=codes)
    np.maximum(codes, fmt.low, out=codes)
    scaled -= codes
    return codes, np.einsum("ij,ij->i", scaled, scaled) * scales * scales


def _rounded(scales: Array, fmt: WeightFormat) -> Array:
    """The scales, f32, as they will be stored."""
    with np.errstate(over="ignore"):  # reported below, with what to do
        rounded = scales.astype(fmt.scale_dtype.numpy).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError(f"scales up to {np.abs(scales).max()} do not fit {fmt.scale_dtype.value}; use f32 scales")
    return rounded


def _inverse(scales: Array) -> Array:
    return np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
