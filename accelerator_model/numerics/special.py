"""Special functions of the closed float32 arithmetic: tables of 64 quadratic segments, evaluated in integers.

The RTL does exactly these steps. Operands are read through `normalise`: sign s, biased exponent e (1..254), mantissa
m[22:0]; zero is named where it matters.

SEGMENT(table, index[5:0], t[16:0]) -> y[27:0], 26 fraction bits, in [1, 2]:
    c0: 28 bits unsigned, c1: 22 bits signed, c2: 17 bits signed, all with 26 fraction bits, from the table
    inner = c1 + ((c2 * t) >>> 17)          signed; 17 x 18 multiply, arithmetic shift (floor); |inner| < 2^21
    y     = c0 + ((inner * t) >>> 17)       signed; 22 x 18 multiply, arithmetic shift (floor)
ROUND(y) -> carry, mantissa[22:0]:
    r[24:0] = (y + 4) >> 3                  in [2^23, 2^24]; tests/ check every index and t
    carry = r[24]; mantissa = r[22:0]       (r = 2^24 is 2.0: carry 1, mantissa 0)
PACK(s, E, mantissa), E a signed biased exponent (11 bits are enough):
    E <= 0 -> +0;  E >= 255 -> {s, 7F7FFFFF};  else {s, E[7:0], mantissa}

exp(x) = 2^(x log2 e):
    x = +0 -> 1.0
    e >= 134 (|x| >= 128) -> s ? +0 : MAX_FINITE
    P[50:0]  = {1, m} * LOG2E[26:0]         24 x 27 bits; LOG2E = round(log2(e) 2^26) = 27'h5C551D9
    M[31:0]  = P >> (153 - e)               153 - e is 20..152; 51 or more gives 0. Truncated; 23 fraction bits
    T[32:0]  = s ? -M : M                   signed
    n = T >>> 23 (floor), index = T[22:17], t = T[16:0]
    carry, mantissa = ROUND(SEGMENT(exp, index, t));  result PACK(0, n + 127 + carry, mantissa)
reciprocal(x) = 1 / x:
    x = +0 -> MAX_FINITE
    index = m[22:17], t = m[16:0]
    carry, mantissa = ROUND(SEGMENT(reciprocal, index, t));  result PACK(s, 253 - e + carry, mantissa)
rsqrt(x) = 1 / sqrt(x):
    x <= 0 -> MAX_FINITE
    odd = ~e[0]                             (the unbiased exponent e - 127 is odd)
    index = {odd, m[22:18]}, t = m[17:1]    the last bit of the mantissa is not used
    carry, mantissa = ROUND(SEGMENT(rsqrt, index, t))
    result PACK(0, 126 - ((e - 127 - odd) >>> 1) + carry, mantissa);  e - 127 - odd is even
relu(x) = s ? +0 : x

exp(0), and reciprocal and rsqrt of powers of 2 and 4, are exact: c0 is the function at the start of its segment.
Relative error of all three below 2^-20.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.numerics.float32 import F32, MAX_FINITE, Floats, normalise

Ints = npt.NDArray[np.int64]

SEGMENTS = 64
FRACTION_BITS = 26
"""Fraction bits of the coefficients and of a segment's value."""
OFFSET_BITS = 17
"""Bits of t, the position inside a segment."""
C0_BITS, C1_BITS, C2_BITS = 28, 22, 17
"""Widths of the coefficients: c0 unsigned, c1 and c2 signed."""
LOG2E_BITS = 27
LOG2E = 0x5C551D9
"""log2(e) with 26 fraction bits."""


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """Coefficients of one function: integers [64] with FRACTION_BITS fraction bits."""

    name: str
    c0: Ints
    c1: Ints
    c2: Ints

    def evaluate(self, index: Ints, t: Ints) -> Ints:
        """Value of segment `index` at `t` / 2^17, with FRACTION_BITS fraction bits."""
        inner = self.c1[index] + ((self.c2[index] * t) >> OFFSET_BITS)
        return np.asarray(self.c0[index] + ((inner * t) >> OFFSET_BITS))


def exp(x: Floats) -> F32:
    """e^x; f32 of the shape of `x`."""
    x = normalise(x)
    negative, exponent, mantissa = _fields(x)
    product = (mantissa | 1 << 23) * LOG2E
    magnitude = product >> np.clip(153 - exponent, 0, 63)
    total = np.where(negative, -magnitude, magnitude)
    y = _round(segment_table("exp").evaluate((total >> OFFSET_BITS) & 63, total & _OFFSET_MASK))
    result = _pack(np.zeros_like(negative), (total >> 23) + 127, y)
    result = np.where(exponent >= 134, np.where(negative, np.float32(0), MAX_FINITE), result)
    return np.asarray(np.where(x == 0, np.float32(1), result))


def reciprocal(x: Floats) -> F32:
    """1 / x, and MAX_FINITE for 0; f32 of the shape of `x`."""
    x = normalise(x)
    negative, exponent, mantissa = _fields(x)
    y = _round(segment_table("reciprocal").evaluate(mantissa >> OFFSET_BITS, mantissa & _OFFSET_MASK))
    return np.asarray(np.where(x == 0, MAX_FINITE, _pack(negative, 253 - exponent, y)))


def rsqrt(x: Floats) -> F32:
    """1 / √x, and MAX_FINITE where x ≤ 0; f32 of the shape of `x`."""
    x = normalise(x)
    negative, exponent, mantissa = _fields(x)
    odd = ~exponent & 1
    y = _round(segment_table("rsqrt").evaluate(odd << 5 | mantissa >> 18, (mantissa >> 1) & _OFFSET_MASK))
    result = _pack(negative, 126 - ((exponent - 127 - odd) >> 1), y)
    return np.asarray(np.where(x <= 0, MAX_FINITE, result))


def relu(x: Floats) -> F32:
    """x where it is positive, else +0; f32 of the shape of `x`."""
    return np.asarray(np.maximum(normalise(x), np.float32(0)))


_OFFSET_MASK = (1 << OFFSET_BITS) - 1


@cache
def segment_table(name: str) -> SegmentTable:
    """The table of `exp`, `reciprocal` or `rsqrt`; KeyError for another name."""
    function, low, step = _SOURCES[name]
    segments = np.arange(SEGMENTS)
    start, width = low(segments), step(segments)
    # c0 is fixed to the function's value at t = 0; the other two points of the interpolation are those of the
    # cubic Chebyshev polynomial (zeros 0 and ±√¾) stretched so that its first zero falls on t = 0.
    root = math.sqrt(0.75)
    near, far = root / (1 + root), 2 * root / (1 + root)
    f0, f1, f2 = (function(start + width * p) for p in (0.0, near, far))
    slope1, slope2 = (f1 - f0) / near, (f2 - f0) / far
    c2 = (slope2 - slope1) / (far - near)
    c1 = slope1 - c2 * near
    unit = 1 << FRACTION_BITS
    return SegmentTable(name, *(np.rint(c * unit).astype(np.int64) for c in (f0, c1, c2)))


def _rsqrt_start(index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray((1 + (index & 31) / 32) * (1 + (index >> 5)), np.float64)


_Line = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]
_Function = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

# Function with values in [1, 2], start of a segment, width of a segment.
_SOURCES: dict[str, tuple[_Function, _Line, _Line]] = {
    "exp": (np.exp2, lambda i: i / SEGMENTS, lambda i: np.full(i.shape, 1 / SEGMENTS)),
    "reciprocal": (lambda x: 2 / x, lambda i: 1 + i / SEGMENTS, lambda i: np.full(i.shape, 1 / SEGMENTS)),
    "rsqrt": (lambda x: 2 / np.sqrt(x), _rsqrt_start, lambda i: (1 + (i >> 5)) / 32.0),
}

TABLE_NAMES = tuple(_SOURCES)


def _fields(x: F32) -> tuple[npt.NDArray[np.bool_], Ints, Ints]:
    """Sign, biased exponent and mantissa."""
    bits = np.ascontiguousarray(x).view(np.uint32).reshape(x.shape).astype(np.int64)
    return bits >> 31 != 0, (bits >> 23) & 255, bits & 0x7FFFFF


def _round(y: Ints) -> Ints:
    """25 bits: carry, hidden one (where there is no carry) and mantissa."""
    return (y + 4) >> 3


def _pack(negative: npt.NDArray[np.bool_], exponent: Ints, rounded: Ints) -> F32:
    exponent = exponent + (rounded >> 24)
    bits = np.clip(exponent, 0, 255) << 23 | rounded & 0x7FFFFF
    bits = np.where(exponent >= 255, 0x7F7FFFFF, bits)
    bits = np.where(negative, bits | 1 << 31, bits)
    bits = np.where(exponent <= 0, 0, bits)
    return bits.astype(np.uint32).view(np.float32).reshape(bits.shape)
