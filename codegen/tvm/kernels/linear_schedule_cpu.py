"""CPU schedules of a fused group around a linear layer.

One parallel loop over blocks of output rows; inside it the accumulators of a tile (rows of x × vectors of
output) live in registers while k runs over the packed words in the order in which they lie in memory;
elementwise epilogues follow at the tile, before it leaves the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import s_tir
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import (
    has_avx_vnni,
    has_bf16,
    has_i8mm,
    has_neon_dot,
    has_vnni,
    is_aarch64,
    vector_lanes,
)
from cosyn.codegen.tvm.kernels.dot_madd import madd_dot
from cosyn.codegen.tvm.kernels.dot_neon import neon_dot
from cosyn.codegen.tvm.kernels.dot_vnni import vnni_dot
from cosyn.codegen.tvm.kernels.gemm_microkernel import unrolled_words
from cosyn.codegen.tvm.kernels.linear import Form, part_stage, row_tile
from cosyn.codegen.tvm.kernels.linear_choice import (
    DEFAULT_CHOICE,
    DEFAULT_MANY_ROWS,
    LinearChoice,
    ManyRowsChoice,
)
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.linear_many_rows_schedule import MANY_ROWS, Instructions, schedule_many_rows

Block = Any
Loop = Any

_SUMS = {16: 16, 8: 8, 4: 16}
"""Vectors of sums beside each other, by lanes: they take half of the registers."""
_TILE_ROWS = 8


def linear_form(target: Target) -> Form:
    """The form of `linear_compute` and `linear_i8_compute` that this file schedules best for `target`."""
    if has_neon_dot(target):
        return "cpu_i8mm" if has_i8mm(target) else "cpu_signed"
    if is_aarch64(target):
        return "cpu"
    if has_vnni(target):
        return "cpu_bf16" if has_bf16(target) else "cpu_vnni"
    return "cpu_avx_vnni" if has_avx_vnni(target) else "cpu_madd"


def schedule_linear(
    schedule: s_tir.Schedule,
    layout: PackedLayout,
    seq: int | None,
    target: Target,
    choice: LinearChoice = DEFAULT_CHOICE,
    many_rows: ManyRowsChoice = DEFAULT_MANY_ROWS,
    few: FewRows | None = None,
) -> None:
    """Schedule, in place, a function made of a CPU form of `linear_compute` and elementwise epilogues.

    `seq` is the static number of rows, or None where it is symbolic; `many_rows` and `few` are what the form
    was made with. The other blocks of the function must be elementwise over `[seq, n]` and follow the linear layer;
    those that are not results are inlined.
    """
    lanes = min(vector_lanes(target), layout.block)
    stages = {name: schedule.get_sblock(name) for name in _stage_names(schedule)}
    together = layout.step // 2
    if "linear_words" in stages and layout.integer_scales:
        together = unrolled_words(layout.group // 4)
        layout = layout.expanded
    epilogue = _inline_epilogue(schedule, stages)
    if any(name in stages for name in MANY_ROWS):
        schedule_many_rows(schedule, stages, epilogue, layout, together, _instructions(target), many_rows)
        return
    acc = stages["linear_acc"]
    rows, columns, reduction = schedule.get_loops(acc)
    single = seq == 1
    height = row_tile(seq, many_rows, few)
    sums_of_row = 2 if "linear_fixed" in stages else 1
    widest = few.vectors if few else _SUMS[lanes] // (sums_of_row if single else _TILE_ROWS)
    block, inner = schedule.split(columns, [None, layout.block])
    vectors = min(widest, layout.block // lanes)
    sub, u, v = schedule.split(inner, [None, vectors, lanes])
    tile, m = schedule.split(rows, [None, height])
    parts = [plane for plane in layout.planes if part_stage(plane) in stages]
    words = (reduction,) if parts else _word_loops(schedule, reduction, layout)
    if parts:
        # The columns of a block take turns in each group, so that its codes are read from memory once, in their order.
        schedule.reorder(block, tile, *words, sub, m, u, v)
        reduction = sub
    else:
        schedule.reorder(block, sub, tile, *words, m, u, v)
    schedule.set_scope(acc, 0, "local")
    for result in epilogue:
        schedule.reverse_compute_at(result, tile, preserve_unit_loops=True)
        _vectorize_epilogue(schedule, result, lanes)
    if "linear_weight" in stages:
        _schedule_weight(schedule, stages["linear_weight"], words[-1], lanes)
    decompose = [(acc, words[0])]
    dot = _dot_intrinsic(stages, layout, target)
    dots = []
    for plane in parts:
        stage = stages[part_stage(plane)]
        part, lane, word = _schedule_part(schedule, stage, reduction, layout, lanes, dot is not None)
        decompose.append((part, word))
        dots += [(lane, dot(plane.bits))] if dot is not None else []
    if "linear_words" in stages:
        _schedule_words(schedule, stages["linear_words"], block, lanes)
    if "linear_fixed" in stages:
        _schedule_fixed(schedule, stages["linear_fixed"], layout.chunk, lanes)
    _registers(schedule, m, u, v)
    if len(words) > 1:
        schedule.unroll(words[-1])
    if not single or layout.nbytes > choice.serial_bytes:
        schedule.parallel(block)
    for stage, loop in reversed(decompose):
        init = schedule.decompose_reduction(stage, loop)
        # The new loop has the kind of the old one, which a dot product leaves serial.
        schedule.vectorize(schedule.get_loops(init)[-1])
    for lane, intrinsic in dots:
        schedule.tensorize(lane, intrinsic)


def _instructions(target: Target) -> Instructions:
    """What tiles of many rows are made of."""
    if is_aarch64(target):
        return "i8mm"
    return "avx512" if has_vnni(target) else "avx2"


def _stage_names(schedule: s_tir.Schedule) -> list[str]:
    names = [schedule.get(b).name_hint for b in _children(schedule)]
    return [n for n in names if n == "linear" or n.startswith("linear_")]


def _children(schedule: s_tir.Schedule) -> list[Block]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _inline_epilogue(schedule: s_tir.Schedule, stages: dict[str, Block]) -> list[Block]:
    """Inline what only feeds later stages; the blocks that write results of the function, in order."""
    results = {b.name for b in schedule.mod["main"].params}
    kept = []
    for block in _children(schedule):
        name = schedule.get(block).name_hint
        if name in stages and name != "linear":
            continue
        if schedule.get(block).writes[0].source.name in results:
            kept.append(block)
        else:
            schedule.compute_inline(block)
    return kept


def _word_loops(schedule: s_tir.Schedule, reduction: Loop, layout: PackedLayout) -> tuple[Loop, ...]:
    """The loop over k as (scale groups,) words and the elements of a word, where they divide."""
    if layout.format is None:
        step = next(s for s in (4, 2, 1) if layout.k % s == 0)
        return tuple(schedule.split(reduction, [None, step]))
    step = layout.step
    if layout.groups == 1:
        return tuple(schedule.split(reduction, [None, step]))
    group, word, element = schedule.split(reduction, [None, layout.group // step, step])
    return group, word, element


def _schedule_weight(schedule: s_tir.Schedule, weight: Block, element: Loop, lanes: int) -> None:
    """Decode the weights of one k into registers, once for all rows of the tile."""
    schedule.compute_at(weight, element, preserve_unit_loops=True)
    schedule.set_scope(weight, 0, "local")
    *_, rows, k = schedule.get_loops(weight)
    u, v = schedule.split(rows, [None, lanes])
    schedule.reorder(k, u, v)
    schedule.unroll(u)
    schedule.vectorize(v)


def _schedule_words(schedule: s_tir.Schedule, words: Block, block: Loop, lanes: int) -> None:
    """Expand the codes of a block of rows once, into the cache, for all rows of x."""
    schedule.compute_at(words, block, preserve_unit_loops=True)
    _, v = schedule.split(schedule.get_loops(words)[-1], [None, lanes])
    schedule.vectorize(v)


def _schedule_part(
    schedule: s_tir.Schedule, part: Block, group: Loop, layout: PackedLayout, lanes: int, dot: bool
) -> tuple[Block, Loop, Loop]:
    """Sums over one scale group in registers: the block, its loop over lanes, the loop where it starts at 0.

    `dot` leaves the loops over lanes and the elements of a word for a dot-product instruction.
    """
    schedule.compute_at(part, group, preserve_unit_loops=True)
    schedule.set_scope(part, 0, "local")
    # Outside lie block, tile, group and sub.
    m, _group, rows, word, *elements = schedule.get_loops(part)[4:]
    if dot:
        u, v = schedule.split(rows, [None, lanes])
        schedule.reorder(word, m, u, v, *elements)
        schedule.unroll(m)
        schedule.unroll(u)
        return part, v, word
    if elements:
        element = schedule.fuse(*elements)
    else:
        word, element = schedule.split(word, [None, layout.step])
    u, v = schedule.split(rows, [None, lanes])
    schedule.reorder(word, element, m, u, v)
    schedule.unroll(element)
    _registers(schedule, m, u, v)
    return part, v, word


def _dot_intrinsic(stages: dict[str, Block], layout: PackedLayout, target: Target) -> Callable[[int], str] | None:
    """Bits of a code → name of the dot product that the partial sums are made of; None: plain code."""
    integers = layout.activation == "int8" or "linear_fixed" in stages
    if not integers or not layout.whole_words:
        return None
    if is_aarch64(target):
        return neon_dot if has_neon_dot(target) else None
    lanes = vector_lanes(target)
    x86_dot = vnni_dot if has_vnni(target) or has_avx_vnni(target) else madd_dot
    return lambda bits: x86_dot(bits, lanes)


def _schedule_fixed(schedule: s_tir.Schedule, fixed: Block, size: int, lanes: int) -> None:
    """Make the integers of x a vector at a time, with the scale of their group outside."""
    _, column = schedule.get_loops(fixed)
    width = max(w for w in range(1, lanes + 1) if size % w == 0)
    _, _, v = schedule.split(column, [None, size // width, width])
    schedule.vectorize(v)


def _vectorize_epilogue(schedule: s_tir.Schedule, block: Block, lanes: int) -> None:
    columns = schedule.get_loops(block)[-1]
    _, v = schedule.split(columns, [None, lanes])
    schedule.vectorize(v)


def _registers(schedule: s_tir.Schedule, m: Loop, u: Loop, v: Loop) -> None:
    schedule.unroll(m)
    schedule.unroll(u)
    schedule.vectorize(v)
