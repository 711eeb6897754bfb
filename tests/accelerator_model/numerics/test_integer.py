"""INT8 products are exact, and rotary rows are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.numerics.float32 import from_int32, multiply
from cosyn.accelerator_model.numerics.integer import integer_product, scaled
from cosyn.accelerator_model.numerics.rotary import rotary_rows


@pytest.mark.parametrize("depth", [1, 64, 1024, 1025, 5000])
def test_products_are_exact(depth: int) -> None:
    rng = np.random.default_rng(depth)
    a = rng.integers(-127, 128, (2, 3, depth)).astype(np.int8)
    b = rng.integers(-128, 128, (2, 7, depth)).astype(np.int8)
    expected = np.einsum("bmk,bnk->bmn", a.astype(np.int64), b.astype(np.int64))
    np.testing.assert_array_equal(integer_product(a, b), expected)


def test_the_largest_sums_are_exact() -> None:
    a = np.full((1, 4099), -127, np.int8)
    b = np.full((2, 4099), -128, np.int8)
    np.testing.assert_array_equal(integer_product(a, b), 127 * 128 * 4099)


def test_rows_must_have_one_length() -> None:
    with pytest.raises(ValueError, match="rows of 4 cannot be multiplied by rows of 5"):
        integer_product(np.zeros((1, 4), np.int8), np.zeros((1, 5), np.int8))


def test_scales_apply_column_first() -> None:
    sums = np.array([[2**24 + 1, 3]], np.int32)
    column, token = np.array([0.1, 0.3], np.float32), np.array([0.7], np.float32)
    expected = multiply(multiply(from_int32(sums), column), token[:, None])
    np.testing.assert_array_equal(scaled(sums, column, token), expected)
    np.testing.assert_array_equal(scaled(sums), from_int32(sums))


def test_rotary_rows() -> None:
    frequencies = 10000.0 ** -(np.arange(4) / 4)
    cosine, sine = rotary_rows(frequencies, [0, 5, 300], 1.5)
    assert cosine.dtype == sine.dtype == np.float32
    np.testing.assert_array_equal(cosine[0], 1.5)
    np.testing.assert_array_equal(sine[0], 0)
    np.testing.assert_allclose(cosine[1:] ** 2 + sine[1:] ** 2, 2.25, rtol=1e-6)
    np.testing.assert_allclose(sine[1], 1.5 * np.sin(5 * frequencies), atol=1e-6)
