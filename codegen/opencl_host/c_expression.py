"""Integer expressions of TVM as C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import ir, tirx
from tvm.ir.prim import expr as prim

from cosyn.codegen.errors import BackendError

_BINARY: dict[type, str] = {
    prim.Add: "({} + {})",
    prim.Sub: "({} - {})",
    prim.Mul: "({} * {})",
    # Sizes are not negative, so that rounding down and towards zero agree.
    prim.Div: "({} / {})",
    prim.FloorDiv: "({} / {})",
    prim.Mod: "({} % {})",
    prim.FloorMod: "({} % {})",
    prim.LShift: "({} << {})",
    prim.RShift: "({} >> {})",
    prim.Min: "min64({}, {})",
    prim.Max: "max64({}, {})",
    prim.LT: "({} < {})",
    prim.LE: "({} <= {})",
    prim.GT: "({} > {})",
    prim.GE: "({} >= {})",
    prim.EQ: "({} == {})",
    prim.NE: "({} != {})",
    prim.And: "({} && {})",
    prim.Or: "({} || {})",
}
_SHIFTS = {"tirx.shift_right": ">>", "tirx.shift_left": "<<"}


def c_expression(expr: Any, variable: Callable[[Any], str]) -> str:
    """`expr`, a non-negative int64 computation over sizes, as a C expression; `variable` names its variables.

    Raises BackendError for a construct that sizes do not need.
    """

    def text(e: Any) -> str:
        if isinstance(e, tirx.IntImm):
            return f"INT64_C({int(e)})"
        if isinstance(e, ir.Var):
            return variable(e)
        if isinstance(e, prim.Cast):
            return text(e.value)
        if isinstance(e, prim.Select):
            return f"({text(e.condition)} ? {text(e.true_value)} : {text(e.false_value)})"
        if isinstance(e, ir.Call) and getattr(e.op, "name", "") in _SHIFTS:
            return f"({text(e.args[0])} {_SHIFTS[e.op.name]} {text(e.args[1])})"
        pattern = _BINARY.get(type(e))
        if pattern is None:
            raise BackendError(f"no C form for the size {e} ({type(e).__name__})")
        return pattern.format(text(e.a), text(e.b))

    return text(expr)
