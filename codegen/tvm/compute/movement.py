"""Movement ops as index arithmetic."""

from __future__ import annotations

from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.compute.stage import Stage, StageBuilder
from cosyn.ir.ops.movement import AxisAttrs, SliceAttrs, TransposeAttrs

Expr = Any


def _zero() -> Expr:
    return tirx.IntImm("int64", 0)


def reshape_index(index: list[Expr], shape: tuple[Expr, ...], source: tuple[Expr, ...]) -> list[Expr]:
    """The index into `source` of the element at `index` of `shape`; equal leading axes pass through."""
    lead = 0
    while lead < min(len(shape), len(source)) and _same(shape[lead], source[lead]):
        lead += 1
    flat: Expr = _zero()
    for i, extent in zip(index[lead:], shape[lead:], strict=True):
        flat = flat * extent + i
    inner: list[Expr] = []
    for extent in reversed(source[lead:]):
        inner.append(tirx.floormod(flat, extent) if len(inner) < len(source) - lead - 1 else flat)
        flat = tirx.floordiv(flat, extent)
    return index[:lead] + inner[::-1]


def _same(a: Expr, b: Expr) -> bool:
    if isinstance(a, tirx.IntImm) and isinstance(b, tirx.IntImm):
        return int(a) == int(b)
    return bool(a is b or (hasattr(a, "same_as") and a.same_as(b)))


def _reshape(stage: Stage) -> list[te.Tensor]:
    x = stage.operands[0]
    source = tuple(x.shape)
    return [te.compute(stage.shape, lambda *i: x(*reshape_index(list(i), stage.shape, source)), name="reshape")]


def _transpose(stage: Stage) -> list[te.Tensor]:
    attrs = stage.node.attrs
    assert isinstance(attrs, TransposeAttrs)
    x = stage.operands[0]

    def at(*i: Expr) -> Expr:
        index = [i[attrs.perm.index(axis)] for axis in range(len(attrs.perm))]
        return x(*index)

    return [te.compute(stage.shape, at, name="transpose")]


def _slice(stage: Stage) -> list[te.Tensor]:
    attrs = stage.node.attrs
    assert isinstance(attrs, SliceAttrs)
    x = stage.operands[0]

    def at(*i: Expr) -> Expr:
        index = list(i)
        index[attrs.axis] = index[attrs.axis] * attrs.step + attrs.start
        return x(*index)

    return [te.compute(stage.shape, at, name="slice")]


def _concat(stage: Stage) -> list[te.Tensor]:
    attrs = stage.node.attrs
    assert isinstance(attrs, AxisAttrs)

    def at(*i: Expr) -> Expr:
        ends: list[Expr] = []
        for x in stage.operands:
            ends.append((ends[-1] if ends else _zero()) + x.shape[attrs.axis])
        value: Expr = None
        for n in reversed(range(len(stage.operands))):
            index = list(i)
            index[attrs.axis] = index[attrs.axis] - (ends[n - 1] if n else _zero())
            here = stage.operands[n](*index)
            value = here if value is None else tirx.if_then_else(i[attrs.axis] < ends[n], here, value)
        return value

    return [te.compute(stage.shape, at, name="concat")]


def _expand(stage: Stage) -> list[te.Tensor]:
    x = stage.operands[0]
    one = [isinstance(d, tirx.IntImm) and int(d) == 1 for d in x.shape]

    def at(*i: Expr) -> Expr:
        aligned = i[len(i) - len(one) :]
        return x(*[_zero() if o else j for j, o in zip(aligned, one, strict=True)])

    return [te.compute(stage.shape, at, name="expand")]


BUILDERS: dict[str, StageBuilder] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "concat": _concat,
    "expand": _expand,
}
