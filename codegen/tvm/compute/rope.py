"""Rotary embedding as tensor expressions: one table of sines and cosines per step, shared by all heads that turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.compute.stage import Stage, StageBuilder
from cosyn.ir.ops.attention import RopeAttrs

Expr = Any

TABLES = ("rope_cos", "rope_sin")
"""Names of the stages that hold cosines and sines; a second one in a kernel has a number behind."""


def _rope(stage: Stage) -> list[te.Tensor]:
    attrs = stage.node.attrs
    assert isinstance(attrs, RopeAttrs)
    x, positions, inv_freq = stage.operands
    half = attrs.rotary_dim // 2
    scale = stage.const(attrs.scale)
    shape = (x.shape[0], tirx.IntImm("int64", half))

    def table(name: str, function: Callable[[Expr], Expr]) -> te.Tensor:
        def at(t: Expr, i: Expr) -> Expr:
            return function(positions(t).astype("float32") * inv_freq(i)) * scale

        made_from = (name, *stage.node.operands[1:], half, attrs.scale)
        if made_from not in stage.tables:
            stage.tables[made_from] = te.compute(shape, at, name=name)
        return stage.tables[made_from]

    cos, sin = table(TABLES[0], tirx.cos), table(TABLES[1], tirx.sin)

    def rotated(t: Expr, h: Expr, i: Expr) -> Expr:
        if attrs.interleaved:
            pair, first = tirx.floordiv(i, 2), tirx.floormod(i, 2) == 0
            partner = tirx.if_then_else(first, i + 1, i - 1)
        else:
            pair, first = tirx.floormod(i, half), i < half
            partner = tirx.if_then_else(first, i + half, i - half)
        turned = tirx.if_then_else(first, -x(t, h, partner), x(t, h, partner))
        return x(t, h, i) * cos(t, pair) + turned * sin(t, pair)

    def at(t: Expr, h: Expr, i: Expr) -> Expr:
        if attrs.rotary_dim == int(x.shape[2]):
            return rotated(t, h, i)
        # Clamp so that the branch not taken stays inside the head and the table.
        inside = tirx.min(i, tirx.IntImm("int64", attrs.rotary_dim - 1))
        return tirx.if_then_else(i < attrs.rotary_dim, rotated(t, h, inside), x(t, h, i))

    return [te.compute(stage.shape, at, name="rope")]


BUILDERS: dict[str, StageBuilder] = {"rope": _rope}
