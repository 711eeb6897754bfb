"""Closed float32: every operation against exact fractions, and its edges."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from cosyn.accelerator_model.numerics import float32
from cosyn.accelerator_model.numerics.float32 import MAX_FINITE, MIN_NORMAL
from tests.accelerator_model.numerics.exact import bits, closed, hard_numbers, read

EXACT: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "multiply": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
}


@pytest.mark.parametrize("name", EXACT)
def test_operations_are_the_rounded_exact_results(name: str) -> None:
    a = hard_numbers(1, 4000)
    b = np.random.default_rng(2).permutation(hard_numbers(3, 4000))
    # Every edge with every edge, too.
    edges = a[:23]
    a, b = np.concatenate([a, np.repeat(edges, 23)]), np.concatenate([b, np.tile(edges, 23)])
    expected = [closed(EXACT[name](read(x), read(y))) for x, y in zip(a, b, strict=True)]
    found = getattr(float32, name)(a, b)
    np.testing.assert_array_equal(bits(found), bits(expected))


def test_products_near_the_smallest_number_are_judged_before_rounding() -> None:
    # (1 - 2^-24) 2^-126 is below 2^-126 although it rounds to it.
    below = float32.multiply(np.float32(1 - 2**-24), MIN_NORMAL)
    assert bits(below) == 0
    assert float32.multiply(np.float32(1), MIN_NORMAL) == MIN_NORMAL
    assert bits(float32.multiply(np.float32(2**-127), np.float32(4))) == 0  # the operand itself is flushed


def test_normalise_reads_every_pattern_as_a_number() -> None:
    x = hard_numbers(5, 3000)
    once = float32.normalise(x)
    np.testing.assert_array_equal(bits(once), bits([closed(read(v)) for v in x]))
    np.testing.assert_array_equal(bits(float32.normalise(once)), bits(once))
    assert np.isfinite(once).all()


def test_results_are_closed() -> None:
    a, b = hard_numbers(6, 3000), hard_numbers(7, 3000)
    for operation in (float32.multiply, float32.add, float32.subtract, float32.maximum):
        found = operation(a, b)
        np.testing.assert_array_equal(bits(found), bits(float32.normalise(found)))


def test_saturation_and_signs_of_zero() -> None:
    assert float32.multiply(MAX_FINITE, np.float32(-2)) == -MAX_FINITE
    assert float32.add(MAX_FINITE, MAX_FINITE) == MAX_FINITE
    assert float32.subtract(MAX_FINITE, np.float32(np.inf)) == 0
    for x in (float32.multiply(np.float32(-1), np.float32(0)), float32.negate(np.float32(0)),
              float32.subtract(np.float32(3), np.float32(3)), float32.normalise(np.float32(-0.0))):  # fmt: skip
        assert bits(x) == 0


def test_integers_round_to_even() -> None:
    x = np.array([0, -1, 2**24 + 1, 2**24 + 3, -(2**24) - 1, 2**31 - 1, -(2**31)])
    expected = [closed(Fraction(int(v))) for v in x]
    np.testing.assert_array_equal(bits(float32.from_int32(x)), bits(expected))
    with pytest.raises(TypeError, match="expected integers, found float64"):
        float32.from_int32(np.array([1.5]))


def test_codes_round_to_even_and_clamp() -> None:
    x = np.array([0.5, 1.5, -0.5, -1.5, 2.5, 126.5, 127.4, 500, -126.5, -128, np.inf, -np.inf, 1e-40])
    expected = [0, 2, 0, -2, 2, 126, 127, 127, -126, -127, 127, -127, 0]
    np.testing.assert_array_equal(float32.to_int8(x), expected)
