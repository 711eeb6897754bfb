"""Operands for the float units, as 32-bit patterns: corner values, and random ones that provoke rounding and limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint32]
Pair = tuple[Bits, Bits]

_MAGNITUDES = [
    0x00000000,  # zero
    0x00000001,  # subnormals: read as zero
    0x007FFFFF,
    0x00800000,  # smallest normal numbers
    0x00800001,
    0x00FFFFFF,
    0x01000000,
    0x33800000,  # 2^-24: half a unit in the last place of 1
    0x33800001,
    0x34000000,
    0x3EFFFFFF,
    0x3F000000,  # 0.5
    0x3F000001,
    0x3F7FFFFF,
    0x3F800000,  # 1
    0x3F800001,
    0x3FFFFFFF,
    0x40490FDB,
    0x42FE0000,  # 127
    0x42FF0000,  # 127.5
    0x43000000,  # 128
    0x4B7FFFFF,
    0x4B800000,  # 2^24
    0x7E7FFFFF,
    0x7F000000,  # 2^127
    0x7F7FFFFF,  # largest finite
    0x7F800000,  # infinity: read as the largest finite
    0x7F800001,  # NaN: likewise
    0x7FFFFFFF,
]

CORNERS: Bits = np.array([m | s for m in _MAGNITUDES for s in (0, 1 << 31)], np.uint32)
"""Each kind of operand with both signs."""


def corner_pairs() -> Pair:
    """Every pair of corners."""
    a, b = np.meshgrid(CORNERS, CORNERS)
    return a.reshape(-1), b.reshape(-1)


def random_bits(generator: np.random.Generator, count: int) -> Bits:
    """Uniform over all patterns."""
    return generator.integers(0, 1 << 32, count, np.uint32)


def random_near(generator: np.random.Generator, count: int, low: int, high: int) -> Bits:
    """Random signs and mantissas, biased exponents in low..high."""
    exponent = generator.integers(low, high + 1, count, np.uint32)
    return random_bits(generator, count) & np.uint32(0x807FFFFF) | exponent << np.uint32(23)


def _short(generator: np.random.Generator, count: int, bits: Bits) -> Bits:
    """The patterns with all but a few leading mantissa bits cleared: exact products and ties come often."""
    keep = generator.integers(0, 24, count, np.uint32)
    return bits & ~((np.uint32(1) << keep) - np.uint32(1))


def _floats(*values: float) -> Bits:
    return np.array(values, np.float32).view(np.uint32)


MULTIPLY_TIES = _floats(4099, 4099), _floats(4097, 4099)
"""Products of 25 bits that end in 11 and 01: halfway, rounded up and down, whatever the random ones give."""

ADD_TIES = _floats(1 << 24, 1 << 24), _floats(3, 1)
"""Likewise sums."""


def multiply_pairs(generator: np.random.Generator, count: int) -> Pair:
    """A fifth each: all patterns, moderate, near underflow, near overflow, few bits (ties)."""
    part = count // 5
    e = generator.integers(1, 254, part)
    first = [random_bits(generator, part)] + [random_near(generator, part, 1, 254) for _ in range(4)]
    a = np.concatenate(first)
    moderate = random_near(generator, part, 100, 150)
    low = _with_exponent(generator, first[2], 127 - 2, 127 + 2)
    high = _with_exponent(generator, first[3], 381 - 2, 381 + 2)
    ties = _short(generator, part, random_near(generator, part, 64, 190))
    a[4 * part :] = _short(generator, part, first[4] & np.uint32(0x807FFFFF) | (e.astype(np.uint32) << np.uint32(23)))
    b = np.concatenate([random_bits(generator, part), moderate, low, high, ties])
    a[-2:], b[-2:] = MULTIPLY_TIES
    return a, b


def _with_exponent(generator: np.random.Generator, a: Bits, low: int, high: int) -> Bits:
    """Partners whose biased exponent and that of `a` add up to low..high, as far as that is possible."""
    total = generator.integers(low, high + 1, a.size)
    exponent = np.clip(total - ((a >> 23) & 255).astype(np.int64), 0, 255).astype(np.uint32)
    return random_bits(generator, a.size) & np.uint32(0x807FFFFF) | exponent << np.uint32(23)


def add_pairs(generator: np.random.Generator, count: int) -> Pair:
    """A sixth each: all patterns, exponents up to 30 apart, cancellation by a few units, ties, both ends of range."""
    part = count // 6
    a = [random_bits(generator, part), random_near(generator, part, 60, 190)]
    b = [random_bits(generator, part)]
    b.append(_apart(generator, a[1], 30))
    near = random_near(generator, part, 1, 254)
    a.append(near)
    b.append((near ^ np.uint32(1 << 31)) + generator.integers(-9, 10, part).astype(np.uint32))
    short = _short(generator, part, random_near(generator, part, 60, 190))
    partners = _short(generator, part, _apart(generator, short, 27))
    short[:2], partners[:2] = ADD_TIES
    a.append(short)
    b.append(partners)
    tiny = random_near(generator, part, 0, 26)
    a.append(tiny)
    b.append(_apart(generator, tiny, 3))
    huge = random_near(generator, part, 250, 255)
    a.append(huge)
    b.append(_apart(generator, huge, 26))
    return np.concatenate(a), np.concatenate(b)


def _apart(generator: np.random.Generator, a: Bits, distance: int) -> Bits:
    """Partners whose exponents are up to `distance` away."""
    exponent = ((a >> 23) & 255).astype(np.int64) + generator.integers(-distance, distance + 1, a.size)
    patterns = random_bits(generator, a.size) & np.uint32(0x807FFFFF)
    result: Bits = patterns | np.clip(exponent, 0, 255).astype(np.uint32) << np.uint32(23)
    return result
