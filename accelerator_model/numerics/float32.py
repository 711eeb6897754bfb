"""Closed float32: IEEE single precision without subnormals, infinities, NaN and negative zero.

Every operand is read through `normalise`; every result is rounded once, to nearest even. A result whose exact value
is below 2^-126 in magnitude is +0 (also where rounding would lift it to 2^-126), one that overflows is the largest
finite number of its sign. So each operation is total, and `normalise(x) == x` for everything that is ever stored.

    normalise: exponent 0 -> +0; exponent 255 -> the largest finite number with the operand's sign
    multiply:  24 x 24 bit significand product, 48 bits; below 2^-126 -> +0; round; exponent above 254 -> saturate
    add:       as IEEE; a result that would be subnormal is exact, so "below 2^-126" can be tested after rounding
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Floats = npt.ArrayLike

MAX_FINITE = np.float32(3.4028234663852886e38)
"""(2 - 2^-23) 2^127, pattern 7F7FFFFF."""

MIN_NORMAL = np.float32(2.0**-126)
"""Smallest positive number, pattern 00800000."""

_EXPONENT = np.uint32(0x7F800000)


def normalise(x: Floats) -> F32:
    """`x` as every unit reads it: f32 of the same shape, subnormals and -0 as +0, exponent 255 as ±MAX_FINITE."""
    x = np.asarray(x, np.float32)
    bits = np.ascontiguousarray(x).view(np.uint32).reshape(x.shape)
    exponent = bits & _EXPONENT
    result: F32 = np.where(exponent == 0, np.float32(0), x)
    infinite = exponent == _EXPONENT
    if infinite.any():
        sign = np.where(bits >> np.uint32(31) != 0, -MAX_FINITE, MAX_FINITE)
        result = np.where(infinite, sign, result)
    return result


def multiply(a: Floats, b: Floats) -> F32:
    """a · b, rounded once; f32 of the broadcast shape."""
    # Exact: 48 significant bits and exponents in -252..255 fit a double.
    product = np.multiply(normalise(a), normalise(b), dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        rounded = product.astype(np.float32)
    return _closed(np.where(np.abs(product) < MIN_NORMAL, np.float32(0), rounded))


def add(a: Floats, b: Floats) -> F32:
    """a + b, rounded once; f32 of the broadcast shape."""
    with np.errstate(over="ignore"):
        return _closed(np.asarray(normalise(a) + normalise(b)))


def subtract(a: Floats, b: Floats) -> F32:
    """a - b, rounded once; f32 of the broadcast shape."""
    return add(a, negate(b))


def negate(a: Floats) -> F32:
    """-a; f32 of the shape of `a`, zero stays +0."""
    return np.asarray(np.float32(0) - normalise(a))


def maximum(a: Floats, b: Floats) -> F32:
    """The larger of a and b; f32 of the broadcast shape."""
    return np.asarray(np.maximum(normalise(a), normalise(b)))


def from_int32(x: npt.ArrayLike) -> F32:
    """Integers of the INT32 range, of any integer type, as f32 (to nearest even)."""
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.integer):
        raise TypeError(f"from_int32: expected integers, found {x.dtype}")
    return x.astype(np.float32)


def to_int8(x: Floats) -> npt.NDArray[np.int8]:
    """`x` rounded to the nearest integer (ties to even) and clamped to -127..127."""
    return np.clip(np.rint(normalise(x)), -127, 127).astype(np.int8)


def _closed(x: npt.NDArray[Any]) -> F32:
    """A rounded IEEE result without infinities, subnormals and -0; NaN cannot arise from normalised operands."""
    x = np.clip(x, -MAX_FINITE, MAX_FINITE)
    result: F32 = np.where(np.abs(x) < MIN_NORMAL, np.float32(0), x)
    return result
