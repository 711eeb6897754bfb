"""Schedule of the forms in `linear_many_rows`: blocks of weight rows in parallel, tiles of rows of x inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm import s_tir

from cosyn.codegen.tvm.kernels.gemm_dot import gemm_bf16, gemm_int8, gemm_int16
from cosyn.codegen.tvm.kernels.gemm_i8mm import i8mm_microkernel, i8mm_name
from cosyn.codegen.tvm.kernels.gemm_microkernel import LANES, Product, microkernel, microkernel_name, unrolled_words
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_MANY_ROWS, ManyRowsChoice
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.linear_many_rows import tile_shape

Block = Any
Loop = Any

_PRODUCTS: Mapping[str, Product] = {
    "linear_many_int8": "int8",
    "linear_many_int16": "int16",
    "linear_many_bf16": "bf16",
}
MANY_ROWS = tuple(_PRODUCTS)
"""Names of the stages that this file schedules."""


def schedule_many_rows(
    schedule: s_tir.Schedule,
    stages: Mapping[str, Block],
    epilogue: Sequence[Block],
    layout: PackedLayout,
    together: int,
    i8mm: bool,
    choice: ManyRowsChoice = DEFAULT_MANY_ROWS,
) -> None:
    """Schedule, in place, a function around one of `linear_many_rows`'s forms with elementwise `epilogue`.

    `together`: words of the stage `linear_words` to write straight one after the other, so that it is known where in
    a stored word their codes lie, and that they share a scale. `i8mm`: products are those of aarch64.
    """
    name = next(n for n in _PRODUCTS if n in stages)
    product, total = _PRODUCTS[name], stages[name]
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
    unroll = unrolled_words(layout.chunk // 2) if product == "int16" else 1
    code = i8mm_microkernel(rows, vectors) if i8mm else microkernel(product, rows, vectors, unroll)
    schedule.annotate(tile, "pragma_import_llvm", code)
    schedule.parallel(block)
    init = schedule.decompose_reduction(total, row)
    _vectorize(schedule, init)
    if product == "int8":
        call = i8mm_name(rows, vectors) if i8mm else microkernel_name(product, rows, vectors)
        intrinsic = gemm_int8(rows, vectors, layout.k, call)
    elif product == "bf16":
        intrinsic = gemm_bf16(rows, vectors, layout.k)
    else:
        intrinsic = gemm_int16(rows, vectors, layout.k, layout.chunk)
    schedule.tensorize(row, intrinsic)


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
