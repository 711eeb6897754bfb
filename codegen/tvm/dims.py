"""Symbolic dimensions of the IR as TVM expressions."""

from __future__ import annotations

import math

import sympy
from tvm import tirx

from cosyn.ir.types import Dim


class Dims:
    """The size variables of one kernel: symbol name → int64 variable, or a constant where it is specialised.

    TVM refuses to mix int32 extents with int64 symbols, so every extent is int64.
    """

    def __init__(self, bound: dict[str, int] | None = None) -> None:
        self._values: dict[str, tirx.Expr] = {
            name: tirx.IntImm("int64", value) for name, value in (bound or {}).items()
        }

    def symbol(self, name: str) -> tirx.Expr:
        """The variable (or constant) of the symbol `name`."""
        if name not in self._values:
            self._values[name] = tirx.Var(name, "int64")
        return self._values[name]

    def expr(self, dim: Dim) -> tirx.Expr:
        """`dim` as an int64 expression."""
        if isinstance(dim, int):
            return tirx.IntImm("int64", dim)
        if isinstance(dim, sympy.Integer):
            return tirx.IntImm("int64", int(dim))
        if isinstance(dim, sympy.Symbol):
            return self.symbol(dim.name)
        if isinstance(dim, sympy.Add):
            return sum((self.expr(a) for a in dim.args[1:]), start=self.expr(dim.args[0]))
        if isinstance(dim, sympy.Mul):
            return math.prod((self.expr(a) for a in dim.args[1:]), start=self.expr(dim.args[0]))
        raise NotImplementedError(f"a dimension may use symbols, + and ·, found {dim}")

    def shape(self, dims: tuple[Dim, ...]) -> tuple[tirx.Expr, ...]:
        """A shape as int64 expressions."""
        return tuple(self.expr(d) for d in dims)
