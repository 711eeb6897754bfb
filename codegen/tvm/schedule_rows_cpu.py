"""CPU schedule of groups without a contraction: one pass over the rows, every stage of a row in cache."""

from __future__ import annotations

import math
from typing import Any

import tvm_ffi
from tvm import ir, s_tir, tirx

from cosyn.codegen.tvm.compute.rope import TABLES

# Below this many elements, threads cost more than they save (about 5 µs to wake one).
_SERIAL_ELEMENTS = 16384


def schedule_rows(schedule: s_tir.Schedule, lanes: int) -> None:
    """Schedule, in place, a function's stages as one loop over the first axis, inner loops `lanes` wide.

    Spatial stages that are not results are inlined, but for numbers of a whole row and for costly values with several
    readers; the others follow each other inside a row. Rows run in parallel where their number is symbolic or the
    work is large.
    """
    _inline_intermediates(schedule)
    for block in _blocks(schedule):
        if _is_reduction(schedule, block):
            _split_reduction(schedule, block, lanes)
    blocks = _blocks(schedule)
    if not schedule.get_loops(blocks[0]):
        return
    parallel = _worth_threads(schedule, blocks)
    rows = [schedule.get_loops(block)[0] for block in blocks]
    row = schedule.merge(*rows) if len(rows) > 1 else rows[0]
    for block in blocks:
        _vectorize(schedule, block, lanes)
    if parallel:
        schedule.parallel(row)


def _inline_intermediates(schedule: s_tir.Schedule) -> None:
    depth = max(len(schedule.get_loops(block)) for block in _blocks(schedule))
    for block in _blocks(schedule):
        # A constant has no loop at all.
        of_row = 0 < len(schedule.get_loops(block)) < depth and _is_spread(schedule, block)
        kept = _is_reduction(schedule, block) or _is_table(schedule, block) or _is_result(schedule, block)
        if not (kept or of_row or _costly_to_repeat(schedule, block)):
            schedule.compute_inline(block)


def _is_spread(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether some reader has more elements: a value is read several times, unlike in another shape of a row."""
    size = _elements(schedule, block)
    return any(_elements(schedule, reader) > size for reader in schedule.get_consumers(block))


def _elements(schedule: s_tir.Schedule, block: Any) -> int:
    """Instances of the block in a row, and in all rows where their number is fixed."""
    return math.prod(_extent(schedule, loop) or 1 for loop in schedule.get_loops(block))


def _costly_to_repeat(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether several stages read the block's values, and each takes longer than a trip through the cache."""
    costly: list[Any] = []
    tvm_ffi.structural_walk(
        schedule.get(block).body, [(ir.Call, lambda call: costly.append(call) if _is_function(call) else None)]
    )
    return bool(costly) and len(schedule.get_consumers(block)) > 1


def _is_function(call: Any) -> bool:
    return getattr(call.op, "name", "") in _FUNCTIONS


_FUNCTIONS = frozenset(f"tirx.{name}" for name in ("exp", "erf", "log", "pow", "sin", "cos", "tanh"))
"""Calls of libm, or polynomials in its place."""


def _is_result(schedule: s_tir.Schedule, block: Any) -> bool:
    # By identity: a stage in between may have a parameter's name.
    written = schedule.get(block).writes[0].source
    return any(written.same_as(p) for p in schedule.mod["main"].params)


def _blocks(schedule: s_tir.Schedule) -> list[Any]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _is_reduction(schedule: s_tir.Schedule, block: Any) -> bool:
    return any(v.iter_type == tirx.IterVar.CommReduce for v in schedule.get(block).iter_vars)


def _is_table(schedule: s_tir.Schedule, block: Any) -> bool:
    # Sines and cosines are computed once per token and read by every head.
    return str(schedule.get(block).name_hint).startswith(TABLES)


def _extent(schedule: s_tir.Schedule, loop: Any) -> int | None:
    extent = schedule.get(loop).extent
    return int(extent) if isinstance(extent, tirx.IntImm) else None


def _worth_threads(schedule: s_tir.Schedule, blocks: list[Any]) -> bool:
    rows = _extent(schedule, schedule.get_loops(blocks[0])[0])
    if rows is None:
        return True
    work = sum(_elements(schedule, block) for block in blocks)
    return rows > 1 and work > _SERIAL_ELEMENTS


def _width(extent: int | None, lanes: int) -> int:
    """Vector width for a loop: the widest that divides it, 1 where its extent is unknown."""
    return 1 if extent is None else max(w for w in (16, 8, 4, 2, 1) if w <= lanes and extent % w == 0)


def _split_reduction(schedule: s_tir.Schedule, block: Any, lanes: int) -> None:
    """Reduce into a vector first: LLVM may not reorder a float reduction, and the error grows slower."""
    columns = schedule.get_loops(block)[-1]
    extent = _extent(schedule, columns)
    width = _width(extent, lanes)
    if extent is None or width < 4 or extent == width:
        return
    _, lane = schedule.split(columns, [None, width])
    schedule.rfactor(lane, len(schedule.get(block).writes[0].region))


def _vectorize(schedule: s_tir.Schedule, block: Any, lanes: int) -> None:
    loops = schedule.get_loops(block)
    width = _width(_extent(schedule, loops[-1]), lanes)
    if len(loops) < 2 or width == 1 or (_is_reduction(schedule, block) and not _is_partial(schedule, block)):
        return
    _, vector = schedule.split(loops[-1], [None, width])
    schedule.vectorize(vector)


def _is_partial(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether the block is the vector of partial sums that `_split_reduction` made; its inner loop is a lane."""
    return str(schedule.get(block).name_hint).endswith("_rf")
