"""The element arithmetic and the reductions of MISC: one pass on arrays, without its operands' places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.isa.misc import Function, Reduction
from cosyn.accelerator_model.numerics import float32, special
from cosyn.accelerator_model.numerics.float32 import F32, Floats
from cosyn.accelerator_model.numerics.reduce import (
    reduce_absolute_maximum,
    reduce_maximum,
    reduce_sum,
    reduce_sum_squares,
)

Mask = npt.NDArray[np.bool_]

_FUNCTIONS = {
    Function.IDENTITY: float32.normalise,
    Function.EXP: special.exp,
    Function.RECIPROCAL: special.reciprocal,
    Function.RSQRT: special.rsqrt,
    Function.RELU: special.relu,
}


def evaluate(
    a: Floats,
    b: Floats | None = None,
    c: Floats | None = None,
    d: Floats | None = None,
    function: Function = Function.IDENTITY,
    c_negate: bool = False,
) -> F32:
    """F(a b ± c) d, each operation rounded; an absent b or d is 1, an absent c is 0. f32 of the broadcast shape."""
    y = float32.normalise(a)
    if b is not None:
        y = float32.multiply(y, b)
    if c is not None:
        y = float32.subtract(y, c) if c_negate else float32.add(y, c)
    y = _FUNCTIONS[Function(function)](y)
    return y if d is None else float32.multiply(y, d)


def reduce(reduction: Reduction, y: F32, lanes: int, mask: Mask | None = None) -> F32:
    """Reduction of each row of `y` [..., columns], which is +0 where `mask` (True: takes part) is False; f32 [...].

    Raises ValueError for `Reduction.NONE`.
    """
    match Reduction(reduction):
        case Reduction.SUM:
            return reduce_sum(y, lanes)
        case Reduction.SUM_SQUARES:
            return reduce_sum_squares(y, lanes)
        case Reduction.MAXIMUM:
            return reduce_maximum(y, mask)
        case Reduction.ABSOLUTE_MAXIMUM:
            return reduce_absolute_maximum(y)
    raise ValueError(f"expected a reduction, found {reduction!r}")
