"""Reductions: their order, masks and padding."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.isa.misc import Reduction
from cosyn.accelerator_model.numerics.element import reduce
from cosyn.accelerator_model.numerics.float32 import MAX_FINITE, add, multiply
from cosyn.accelerator_model.numerics.reduce import reduce_maximum, reduce_sum, reduce_sum_squares


def rows(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) * 10 ** rng.uniform(-3, 3, shape)).astype(np.float32)


def slow_sum(row: np.ndarray, lanes: int) -> np.float32:
    """One element after the other, as the documentation says."""
    partial = [[np.float32(0)] * lanes for _ in range(4)]
    for j, value in enumerate(row):
        line, lane = divmod(j, lanes)
        partial[line % 4][lane] = add(partial[line % 4][lane], value)
    level = [add(add(partial[0][n], partial[1][n]), add(partial[2][n], partial[3][n])) for n in range(lanes)]
    while len(level) > 1:
        level = [add(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("columns", [1, 4, 30, 64, 177])
def test_sums_have_one_order(lanes: int, columns: int) -> None:
    y = rows(5, columns)
    np.testing.assert_array_equal(reduce_sum(y, lanes), [slow_sum(row, lanes) for row in y])
    squares = [slow_sum(multiply(row, row), lanes) for row in y]
    np.testing.assert_array_equal(reduce_sum_squares(y, lanes), squares)


def test_the_order_depends_on_the_lanes() -> None:
    y = rows(200, 64)
    assert (reduce_sum(y, 4) != reduce_sum(y, 16)).any()
    np.testing.assert_allclose(reduce_sum(y, 4), y.astype(np.float64).sum(1), rtol=1e-3)


@pytest.mark.parametrize("lanes", [4, 8])
def test_zeros_after_a_row_change_nothing(lanes: int) -> None:
    y = rows(6, 50)
    longer = np.concatenate([y, np.zeros((6, 78), np.float32)], 1)
    for reduction in (Reduction.SUM, Reduction.SUM_SQUARES, Reduction.ABSOLUTE_MAXIMUM):
        np.testing.assert_array_equal(reduce(reduction, y, lanes), reduce(reduction, longer, lanes))


def test_maximum_leaves_masked_columns_out() -> None:
    y = np.array([[-5, -2, 0, 0], [-1, 0, 0, 0]], np.float32)
    mask = np.array([[True, True, False, False], [False] * 4])
    np.testing.assert_array_equal(reduce(Reduction.MAXIMUM, y, 4, mask), [-2, -MAX_FINITE])
    np.testing.assert_array_equal(reduce_maximum(y), [0, 0])
    np.testing.assert_array_equal(reduce(Reduction.ABSOLUTE_MAXIMUM, y, 4), [5, 1])


def test_rows_may_have_batch_axes() -> None:
    y = rows(2, 3, 20)
    np.testing.assert_array_equal(reduce_sum(y, 4), reduce_sum(y.reshape(6, 20), 4).reshape(2, 3))


def test_none_is_no_reduction() -> None:
    with pytest.raises(ValueError, match=r"expected a reduction, found <Reduction\.NONE: 0>"):
        reduce(Reduction.NONE, rows(1, 4), 4)
