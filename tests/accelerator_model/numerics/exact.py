"""The closed float32 arithmetic once more, from its definition, with exact fractions: what the tests compare with."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

LARGEST = Fraction(2**24 - 1) * 2**104
SMALLEST = Fraction(1, 2**126)


def read(x: np.float32) -> Fraction:
    """The value of an operand, from its bits."""
    bits = int(np.asarray(x, np.float32).view(np.uint32))
    sign, exponent, mantissa = -1 if bits >> 31 else 1, bits >> 23 & 255, bits & 0x7FFFFF
    if exponent == 0:
        return Fraction(0)
    if exponent == 255:
        return sign * LARGEST
    return sign * Fraction(2**23 + mantissa) * Fraction(2) ** (exponent - 150)


def closed(exact: Fraction) -> np.float32:
    """`exact` rounded to nearest even, flushed and saturated."""
    size = abs(exact)
    if size < SMALLEST:
        return np.float32(0)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    rounded = min(round(size / unit) * unit, LARGEST)  # Python rounds halves to even
    return np.float32(float(rounded if exact > 0 else -rounded))


def bits(x: object) -> np.ndarray:
    """Bit patterns, so that +0 and -0 differ."""
    return np.ascontiguousarray(np.asarray(x, np.float32)).view(np.uint32)


def hard_numbers(seed: int, count: int) -> np.ndarray:
    """Patterns of every kind: uniform bits, numbers around one another, the edges of the range, not-quite-numbers."""
    rng = np.random.default_rng(seed)
    edges = np.array(
        [0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x80800000, 0x00800001, 0x7F7FFFFF, 0xFF7FFFFF,
         0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFF, 0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x3F800001,
         0x1F800000, 0x20000000, 0x5F800000, 0x1FB504F3, 0x1FB504F4], np.uint32,
    )  # fmt: skip
    near = (rng.integers(110, 145, count) << 23 | rng.integers(0, 2**23, count)).astype(np.uint32)
    short = (rng.integers(0, 255, count) << 23 | rng.integers(0, 8, count) << 20).astype(np.uint32)
    signs = (rng.integers(0, 2, count) << 31).astype(np.uint32)
    uniform = rng.integers(0, 2**32, count, np.uint64).astype(np.uint32)
    return np.concatenate([edges, near | signs, short | signs, uniform]).view(np.float32)
