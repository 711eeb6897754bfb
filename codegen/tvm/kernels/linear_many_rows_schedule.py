"""Schedule of the forms in `linear_many_rows`: blocks of weight rows in parallel, tiles of rows of x inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tvm import s_tir

from cosyn.codegen.tvm.kernels.gemm_avx2 import avx2_microkernel, avx2_name
from cosyn.codegen.tvm.kernels.gemm_dot import gemm_bf16, gemm_int8, gemm_int16, gemm_pairs
from cosyn.codegen.tvm.kernels.gemm_i8mm import i8mm_microkernel, i8mm_name
from cosyn.codegen.tvm.kernels.gemm_microkernel import LANES, microkernel, microkernel_name, unrolled_words
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_MANY_ROWS, ManyRowsChoice
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.linear_many_rows import tile_shape

Block = Any
Loop = Any

Instructions = Literal["avx512", "avx2", "i8mm"]
"""What the microkernels are made of."""

MANY_ROWS = ("linear_many_int8", "linear_many_pairs", "linear_many_int16", "linear_many_bf16")
"""Names of the stages that this file schedules."""


def schedule_many_rows(
    schedule: s_tir.Schedule,
    stages: Mapping[str, Block],
    epilogue: Sequence[Block],
    layout: PackedLayout,
    together: int,
    instructions: Instructions,
    choice: ManyRowsChoice = DEFAULT_MANY_ROWS,
) -> None:
    """Schedule, in place, a function around one of `linear_many_rows`'s forms with elementwise `epilogue`.

    `together`: words of the stage `linear_words` to write straight one after the other, so that it is known where in
    a stored word their codes lie, and that they share a scale.
    """
    name = next(n for n in MANY_ROWS if n in stages)
    total = stages[name]
    rows, vectors = tile_shape(layout, choice)
    anchor = stages.get("linear_acc", total)
    s, n, *reduction = schedule.get_loops(anchor)
    block, column = schedule.split(n, [None, layout.block])
    tile, row = schedule.split(s, [None, rows])
    schedule.reorder(block, tile, row, column, *reduction)
    schedule.set_scope(anchor, 0, "local")
    if anchor is not total:
        _vectorize(schedule, anchor)
        schedule.compute_at(total, tile, preserve_unit_loops=True)
        schedule.set_scope(total, 0, "local")
        row = schedule.get_loops(total)[2]
    for result in epilogue:
        schedule.reverse_compute_at(result, tile, preserve_unit_loops=True)
        _vectorize(schedule, result)
    for stage in ("linear_words", "linear_scales"):
        if stage in stages:
            schedule.compute_at(stages[stage], block, preserve_unit_loops=True)
            _vectorize(schedule, stages[stage])
    if "linear_words" in stages and together > 1:
        *_, word, u, v = schedule.get_loops(stages["linear_words"])
        word, part = schedule.split(word, [None, together])
        schedule.reorder(word, u, part, v)
        schedule.unroll(part)
    _schedule_x(schedule, stages)
    code, intrinsic = _microkernel(name, layout, rows, vectors, instructions)
    schedule.annotate(tile, "pragma_import_llvm", code)
    schedule.parallel(block)
    init = schedule.decompose_reduction(total, row)
    _vectorize(schedule, init)
    schedule.tensorize(row, intrinsic)


def _microkernel(
    stage: str, layout: PackedLayout, rows: int, vectors: int, instructions: Instructions
) -> tuple[str, str]:
    """LLVM module text of the function that computes a tile of `stage`, and the name of the intrinsic that calls it."""
    k = layout.k
    if stage == "linear_many_int16":
        unroll = unrolled_words(layout.chunk // 2)
        if instructions == "avx2":
            call = avx2_name("int16", rows, vectors, unroll)
            return avx2_microkernel("int16", rows, vectors, unroll), gemm_int16(rows, vectors, k, layout.chunk, call)
        call = microkernel_name("int16", rows, vectors, unroll)
        return microkernel("int16", rows, vectors, unroll), gemm_int16(rows, vectors, k, layout.chunk, call)
    if stage == "linear_many_bf16":
        call = microkernel_name("bf16", rows, vectors)
        return microkernel("bf16", rows, vectors), gemm_bf16(rows, vectors, k, call)
    if stage == "linear_many_pairs":
        call = avx2_name("pairs", rows, vectors)
        return avx2_microkernel("pairs", rows, vectors), gemm_pairs(rows, vectors, k, call)
    if instructions == "i8mm":
        code, call = i8mm_microkernel(rows, vectors), i8mm_name(rows, vectors)
    elif instructions == "avx2":
        code, call = avx2_microkernel("int8", rows, vectors), avx2_name("int8", rows, vectors)
    else:
        code, call = microkernel("int8", rows, vectors), microkernel_name("int8", rows, vectors)
    return code, gemm_int8(rows, vectors, k, call)


def _schedule_x(schedule: s_tir.Schedule, stages: Mapping[str, Block]) -> None:
    """All that is done to x, row by row in one parallel loop."""
    first, *rest = [stages[n] for n in ("linear_xtop", "linear_x", "linear_xscale", "linear_xsum") if n in stages]
    row = schedule.get_loops(first)[0]
    for stage in rest:
        schedule.reverse_compute_at(stage, row, preserve_unit_loops=True)
    schedule.parallel(row)


def _vectorize(schedule: s_tir.Schedule, block: Block) -> None:
    _, v = schedule.split(schedule.get_loops(block)[-1], [None, LANES])
    schedule.vectorize(v)
