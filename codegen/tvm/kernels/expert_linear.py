"""Linears over chosen experts: each token reads the packed weights of the experts that it chose, no others.

A token that shares an expert with another reads it again; to group the tokens of a prefill by expert is a
later step. As in `linear`, the neutral form is one sum that any target can schedule, and the CPU form is
padded to blocks of rows. Stages are named `expert_linear…`; the last one, `expert_linear`, is the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import s_tir, te
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import vector_lanes
from cosyn.codegen.tvm.kernels.linear import Form
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.packed_weight import PackedWeight, i64

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so
_ACC = "expert_linear_acc"


def expert_linear_compute(
    x: te.Tensor,
    ids: te.Tensor,
    pieces: Sequence[te.Tensor],
    layout: PackedLayout,
    form: Form = "neutral",
    bias: te.Tensor | None = None,
) -> te.Tensor:
    """x f32 `[seq, k]` or `[seq, choices, k]` · weight[ids]ᵀ (+ bias f32 `[experts, n]`) as f32
    `[seq, choices, n]`.

    `ids` is i32 `[seq, choices]`; `pieces` are placeholders of `layout.pieces`, in that order. Raises
    ValueError where x does not fit.
    """
    if x.dtype != "float32" or int(x.shape[-1]) != layout.k or not layout.experts:
        expected = f"x float32[…, {layout.k}] and a weight of rank 3"
        raise ValueError(f"expected {expected}, found x {x.dtype}{list(x.shape)} and {layout}")
    weight = PackedWeight(layout, pieces)
    shared = len(x.shape) == 2
    neutral = form == "neutral"
    k = te.reduce_axis((i64(0), i64(layout.k)), name="k")

    def product(t: Expr, c: Expr, n: Expr) -> Expr:
        expert = ids(t, c).astype("int64")
        value = x(t, k) if shared else x(t, c, k)
        return te.sum(value * weight.value((expert,), n, k, fast=not neutral), axis=k)

    rows = layout.n if neutral else layout.padded_n
    total = te.compute((*ids.shape, i64(rows)), product, name=_ACC)

    def at(t: Expr, c: Expr, n: Expr) -> Expr:
        return total(t, c, n) if bias is None else total(t, c, n) + bias(ids(t, c).astype("int64"), n)

    return te.compute((*ids.shape, i64(layout.n)), at, name="expert_linear")


def schedule_expert_linear(schedule: s_tir.Schedule, layout: PackedLayout, target: Target) -> None:
    """Schedule, in place, a CPU form of `expert_linear_compute` with elementwise epilogues.

    One parallel loop over blocks of expert rows of every choice; accumulators in registers, results written
    from them.
    """
    lanes = min(vector_lanes(target), layout.block)
    results = _inline_epilogue(schedule)
    acc = schedule.get_sblock(_ACC)
    token, choice, rows, k = schedule.get_loops(acc)
    outer, u, v = schedule.split(rows, [None, layout.block // lanes, lanes])
    group, word, element = schedule.split(k, [None, layout.group // layout.step, layout.step])
    schedule.reorder(token, choice, outer, group, word, element, u, v)
    parallel = schedule.fuse(token, choice, outer)
    schedule.set_scope(acc, 0, "local")
    for result in results:
        schedule.reverse_compute_at(result, parallel, preserve_unit_loops=True)
        schedule.vectorize(schedule.split(schedule.get_loops(result)[-1], [None, lanes])[-1])
    schedule.unroll(element)
    schedule.unroll(u)
    schedule.vectorize(v)
    schedule.parallel(parallel)
    schedule.decompose_reduction(acc, group)


def _inline_epilogue(schedule: s_tir.Schedule) -> list[Any]:
    """Inline what only feeds later stages; the blocks that write results of the function, in order."""
    kept = []
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        if schedule.get(block).name_hint == _ACC:
            continue
        written = schedule.get(block).writes[0].source
        # By identity: a stage may carry the name of a parameter.
        if any(written.same_as(p) for p in schedule.mod["main"].params):
            kept.append(block)
        else:
            schedule.compute_inline(block)
    return kept
