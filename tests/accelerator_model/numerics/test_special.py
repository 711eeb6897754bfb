"""Special functions: error against float64, edges, and the widths that the RTL relies on."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.numerics import special
from cosyn.accelerator_model.numerics.float32 import MAX_FINITE, MIN_NORMAL, normalise
from cosyn.accelerator_model.numerics.special import C0_BITS, C1_BITS, C2_BITS, LOG2E, OFFSET_BITS, TABLE_NAMES
from tests.accelerator_model.numerics.exact import bits, hard_numbers

BOUND = 2.0**-20
COUNT = 400_000


def positive(seed: int) -> np.ndarray:
    pattern = np.random.default_rng(seed).integers(1 << 23, 255 << 23, COUNT).astype(np.uint32)
    return pattern.view(np.float32)


@pytest.mark.parametrize("reach", [87.3, 10.0, 1.0, 1e-3])
def test_exponential(reach: float) -> None:
    x = np.random.default_rng(0).uniform(-reach, reach, COUNT).astype(np.float32)
    expected = np.exp(x.astype(np.float64))
    assert np.abs(special.exp(x) / expected - 1).max() < BOUND


def test_reciprocal() -> None:
    x = positive(1)
    x = x[x < 2.0**125]
    assert np.abs(special.reciprocal(x) * x.astype(np.float64) - 1).max() < BOUND
    np.testing.assert_array_equal(special.reciprocal(-x), -special.reciprocal(x))


def test_inverse_root() -> None:
    x = positive(2)
    assert np.abs(special.rsqrt(x) * np.sqrt(x.astype(np.float64)) - 1).max() < BOUND


def test_powers_are_exact() -> None:
    e = np.arange(-60, 61)
    np.testing.assert_array_equal(special.reciprocal(2.0**e), (2.0**-e).astype(np.float32))
    np.testing.assert_array_equal(special.rsqrt(4.0**e), (2.0**-e).astype(np.float32))
    assert special.exp(np.float32(0)) == 1


def test_edges() -> None:
    inf = np.float32(np.inf)
    np.testing.assert_array_equal(
        special.exp([-0.0, 1e-40, 1e-30, -1e-30, 88.73, 127, 128, inf, -87.34, -87.4, -128, -inf]),
        np.array([1, 1, 1, 1, *[MAX_FINITE] * 4, special.exp(-87.34), 0, 0, 0], np.float32),
    )
    assert special.exp(-87.3) > MIN_NORMAL
    np.testing.assert_array_equal(
        special.reciprocal([0, -0.0, 1e-40, 2.0**126, 1.01 * 2.0**126, 2.0**127, -inf, inf]),
        np.array([*[MAX_FINITE] * 3, MIN_NORMAL, 0, 0, 0, 0], np.float32),
    )
    np.testing.assert_array_equal(special.rsqrt([0, -0.0, 1e-40, -1, -inf]), MAX_FINITE)
    assert special.rsqrt(inf) == special.rsqrt(MAX_FINITE)
    np.testing.assert_array_equal(bits(special.relu([-1, -0.0, 0, 2, 1e-40, inf])), bits([0, 0, 0, 2, 0, MAX_FINITE]))


@pytest.mark.parametrize("function", [special.exp, special.reciprocal, special.rsqrt, special.relu])
def test_results_are_closed_and_keep_their_shape(function: object) -> None:
    x = hard_numbers(8, 2000)
    x = x[: len(x) // 7 * 7].reshape(7, -1)
    found = function(x)  # type: ignore[operator]
    assert found.shape == x.shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(bits(found), bits(normalise(found)))
    np.testing.assert_array_equal(found, function(normalise(x)))  # type: ignore[operator]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_every_segment_stays_in_its_widths(name: str) -> None:
    """All 2^23 positions: the value rounds into [2^23, 2^24], and no intermediate exceeds what the RTL has."""
    table = special.segment_table(name)
    assert table.c0.min() >= 0
    assert table.c0.max() < 1 << C0_BITS
    for c, width in ((table.c1, C1_BITS), (table.c2, C2_BITS)):
        assert -(1 << (width - 1)) <= c.min()
        assert c.max() < 1 << (width - 1)
    t = np.arange(1 << OFFSET_BITS)
    for index in range(special.SEGMENTS):
        inner = table.c1[index] + ((table.c2[index] * t) >> OFFSET_BITS)
        assert np.abs(inner).max() < 1 << (C1_BITS - 1)
        rounded = (table.evaluate(np.full_like(t, index), t) + 4) >> 3
        assert rounded.min() >= 1 << 23
        assert rounded.max() <= 1 << 24


def test_the_constant_is_log2_e() -> None:
    assert round(np.log2(np.e) * 2**26) == LOG2E
    assert LOG2E.bit_length() == special.LOG2E_BITS


def test_monotone_where_a_softmax_needs_it() -> None:
    """A larger score never gets a clearly smaller weight: steps back stay within the error bound."""
    x = np.sort(np.random.default_rng(3).uniform(-20, 0, COUNT).astype(np.float32))
    y = special.exp(x).astype(np.float64)
    assert (y[1:] >= y[:-1] * (1 - 2 * BOUND)).all()
    assert special.exp(np.float32(-1e-7)) <= 1
