"""f32 activations as 16-bit integers with one scale per group of columns, for dot products of bytes.

An integer is 256 · high + low with both parts in -128..127, so that weights of at most 8 bits take two INT8 dot
products, whose sums are exact. What is rounded away is below 2^-16 of the group's largest magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.kernels.packed_weight import f32, i32, i64

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so

_LARGEST = 127 * 256 + 127
_SMALLEST_SCALED = 1e-30
"""Groups of smaller numbers are 0: the reciprocal of their scale would be infinite."""


def exact_size(bits: int) -> int:
    """Columns over which sums of unsigned codes of `bits` times the integers fit 32 bits."""
    return int((1 << 31) // (((1 << bits) - 1) * (_LARGEST + 1)))


class FixedPoint:
    """`rows` rows of x f32 as integers: `parts` i8 `[2 · rows, k]`, each row's high parts and then its low parts."""

    def __init__(self, x: te.Tensor, size: int, rows: Expr, row: Callable[[Expr], Expr]) -> None:
        """`size` columns share a scale; it divides k. `row` says which row of x each is."""
        k = int(x.shape[1])
        j = te.reduce_axis((i64(0), i64(size)), name="j")
        # Magnitudes are ordered as their bits are; LLVM makes vectors of maxima of integers only.
        self._top = te.compute(
            (rows, i64(k // size)),
            lambda s, g: te.max(tirx.reinterpret("int32", x(row(s), g * size + j)) & i32(0x7FFFFFFF), axis=j),
            name="linear_xmax",
        )

        def part(p: Expr, column: Expr) -> Expr:
            s = tirx.floordiv(p, 2)
            top = self._magnitude(s, tirx.floordiv(column, size))
            inverse = tirx.Select(top > f32(_SMALLEST_SCALED), f32(_LARGEST) / top, f32(0.0))
            number = tirx.nearbyint(x(row(s), column) * inverse).astype("int32")
            high = (number + i32(128)) >> i32(8)
            return tirx.Select(tirx.floormod(p, 2) == 0, high, number - (high << i32(8))).astype("int8")

        self.parts = te.compute((rows * 2, i64(k)), part, name="linear_fixed")

    def _magnitude(self, row: Expr, group: Expr) -> Expr:
        return tirx.reinterpret("float32", self._top(row, group))

    def scale(self, row: Expr, group: Expr) -> Expr:
        """What the integers of a group are multiplied with, f32."""
        return self._magnitude(row, group) * f32(1 / _LARGEST)


def combined(high: Expr, low: Expr) -> Expr:
    """The sum over integers from the i32 sums over their high and low parts."""
    return high * i32(256) + low
