"""Mixture of experts over packed weights: each token reads the experts that it chose, no others."""

from __future__ import annotations

from typing import Any

from tvm import s_tir, te, tirx
from tvm.target import Target

from cosyn.codegen.tvm.compute.elementwise import UNARY
from cosyn.codegen.tvm.cpu_target import vector_lanes
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.packed_weight import PackedWeight, i64
from cosyn.ir.ops.contraction import MoeAttrs

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so
_HIDDEN, _OUT = "moe_hidden", "moe_out"


def moe_prim_func(
    attrs: MoeAttrs,
    up: PackedLayout,
    down: PackedLayout,
    choices: int,
    seq: int | None = None,
    up_bias: bool = False,
    down_bias: bool = False,
) -> tirx.PrimFunc:
    """(x f32 `[seq, d]`, weights f32 `[seq, choices]`, ids i32 `[seq, choices]`, pieces of up, pieces of down
    [, up bias f32 `[experts, 2n]`][, down bias f32 `[experts, d]`], y f32 `[seq, d]`), not yet scheduled.

    `up` is the layout of `[experts, 2n, d]` (gate rows, then up rows; `[experts, n, d]` if not gated), `down`
    that of `[experts, d, n]`. Scratch of `seq · choices · (3n + d)` floats is allocated inside.
    """
    rows = tirx.Var("seq", "int64") if seq is None else i64(seq)
    x = te.placeholder((rows, i64(up.k)), "float32", name="x")
    weights = te.placeholder((rows, i64(choices)), "float32", name="weights")
    ids = te.placeholder((rows, i64(choices)), "int32", name="ids")
    up_pieces, down_pieces = _placeholders(up, "up"), _placeholders(down, "down")
    up_biases = [_bias(up, "up_bias")] if up_bias else []
    down_biases = [_bias(down, "down_bias")] if down_bias else []

    hidden = _expert_linear(lambda t, _c, k: x(t, k), ids, PackedWeight(up, up_pieces), _HIDDEN)
    activation = UNARY[attrs.activation]

    def gate(t: Expr, c: Expr, n: Expr) -> Expr:
        return hidden(t, c, n) + up_biases[0](ids(t, c).astype("int64"), n) if up_biases else hidden(t, c, n)

    def activated(t: Expr, c: Expr, n: Expr) -> Expr:
        value = activation(gate(t, c, n))
        return value * gate(t, c, n + down.k) if attrs.gated else value

    inner = te.compute((rows, i64(choices), i64(down.k)), activated, name="moe_inner")
    out = _expert_linear(lambda t, c, k: inner(t, c, k), ids, PackedWeight(down, down_pieces), _OUT)
    choice = te.reduce_axis((i64(0), i64(choices)), name="choice")

    def mixed(t: Expr, n: Expr) -> Expr:
        value = out(t, choice, n)
        if down_biases:
            value = value + down_biases[0](ids(t, choice).astype("int64"), n)
        return te.sum(weights(t, choice) * value, axis=choice)

    y = te.compute((rows, i64(down.n)), mixed, name="moe")
    inputs = [x, weights, ids, *up_pieces, *down_pieces, *up_biases, *down_biases]
    return te.create_prim_func([*inputs, y])


def schedule_moe_cpu(schedule: s_tir.Schedule, up: PackedLayout, down: PackedLayout, target: Target) -> None:
    """Schedule, in place, what `moe_prim_func` made: expert rows in parallel, accumulators in registers."""
    for name, layout in ((_HIDDEN, up), (_OUT, down)):
        _schedule_expert_linear(schedule, schedule.get_sblock(name), layout, vector_lanes(target))
    for name in ("moe_inner", "moe"):
        block = schedule.get_sblock(name)
        loops = schedule.get_loops(block)
        columns = loops[-1] if name == "moe_inner" else loops[1]
        outer, vector = schedule.split(columns, [None, vector_lanes(target)])
        schedule.reorder(outer, *loops[2:] if name == "moe" else (), vector)
        schedule.vectorize(vector)


def _placeholders(layout: PackedLayout, prefix: str) -> list[te.Tensor]:
    return [
        te.placeholder([i64(d) for d in p.shape], p.dtype, name=f"{prefix}_{p.name}") for p in layout.pieces
    ]


def _bias(layout: PackedLayout, name: str) -> te.Tensor:
    return te.placeholder((i64(layout.experts), i64(layout.n)), "float32", name=name)


def _expert_linear(x: Any, ids: te.Tensor, weight: PackedWeight, name: str) -> te.Tensor:
    """`[seq, choices, padded n]`: rows of the chosen expert times x(token, choice, k)."""
    layout = weight.layout
    k = te.reduce_axis((i64(0), i64(layout.k)), name="k")

    def at(t: Expr, c: Expr, n: Expr) -> Expr:
        expert = ids(t, c).astype("int64")
        return te.sum(x(t, c, k) * weight.value((expert,), n, k, fast=True), axis=k)

    return te.compute((*ids.shape, i64(layout.padded_n)), at, name=name)


def _schedule_expert_linear(schedule: s_tir.Schedule, block: Any, layout: PackedLayout, lanes: int) -> None:
    written = schedule.cache_write(block, 0, "local")
    token, choice, rows, k = schedule.get_loops(block)
    outer, u, v = schedule.split(rows, [None, layout.block // lanes, lanes])
    group, word, element = schedule.split(k, [None, layout.group // layout.step, layout.step])
    schedule.reorder(token, choice, outer, group, word, element, u, v)
    parallel = schedule.fuse(token, choice, outer)
    schedule.reverse_compute_at(written, parallel)
    schedule.vectorize(schedule.split(schedule.get_loops(written)[-1], [None, lanes])[-1])
    for loop in (element, u):
        schedule.unroll(loop)
    schedule.vectorize(v)
    schedule.parallel(parallel)
    schedule.decompose_reduction(block, group)
