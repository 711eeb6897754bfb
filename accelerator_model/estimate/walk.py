"""What a walk over a step's operations carries along, and the moves that every operation is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.estimate.design import Design, ceil_div
from cosyn.accelerator_model.estimate.operations import Operation
from cosyn.accelerator_model.estimate.passes import pass_cycles
from cosyn.accelerator_model.estimate.timeline import Loaded, Timeline
from cosyn.accelerator_model.estimate.weight_form import Stream, WeightForms
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.sequences import Passes
from cosyn.accelerator_model.simulator.timing import TIMING

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OperationCycles:
    """When an operation's result was complete; the occupancy and the work of each class until then."""

    operation: Operation
    end: Numbers
    busy: dict[Opcode, Numbers]
    work: dict[Opcode, Numbers]


@dataclass(slots=True)
class Walk:
    """What one step's walk over the operations carries along."""

    design: Design
    form: WeightForms | None
    tokens: int
    position: int
    line: Timeline
    ready: Numbers
    sliced: bool = False
    maximum: bool = False
    """The pass that made the current vector also found its absolute maximum."""
    elementwise: bool = False
    """An elementwise op made the current vector: on a single core its last pass finds the absolute maximum too."""
    before_linear: bool = False
    """The operation that follows is a linear, which quantizes."""
    weight_stripes: Any = 0.0
    cache_stripes: Any = 0.0
    macs: Any = 0.0
    special_elements: Any = 0.0
    appended: Operation | None = None
    append_ready: Any = 0.0
    """The keys and values that are to be stored, and when their codes are there."""
    prefetched: dict[str, Loaded] = field(default_factory=dict)
    """Words of later linears that were loaded before the cache, by the operation's name."""
    blocks: list[Any] = field(default_factory=list)
    """Stripes of the parameters of the segments that are still to be loaded."""
    ends: list[OperationCycles] = field(default_factory=list)

    @property
    def context(self) -> int:
        return self.position + self.tokens


def rows_of(walk: Walk, item: Operation) -> int:
    """Tokens that the operation works on."""
    return 1 if item.last_token else walk.tokens


def special(walk: Walk, passes: Passes, rows: Any, columns: Any, times: Any = 1) -> None:
    """Passes on the vector that is ready."""
    cycles, elements = pass_cycles(passes, rows, columns, walk.design)
    walk.ready = walk.line.special(cycles * times, walk.ready)
    walk.special_elements = walk.special_elements + elements * times


def by_heads(walk: Walk, passes: Passes, heads: Numbers, columns: Any) -> None:
    """A decoded token's heads are the rows of one instruction; with more tokens there is one for each head.

    Passes over the scalars of rows take all heads at once.
    """
    if walk.tokens == 1:
        special(walk, passes, heads, columns)
        return
    special(walk, tuple(p for p in passes if not p.over_rows), walk.tokens, columns, heads)
    special(walk, tuple(p for p in passes if p.over_rows), heads * walk.tokens, columns)


def gather(walk: Walk, width: int, rows: int) -> None:
    """Give every core the whole vector, of which each made a slice of columns."""
    if not walk.sliced:
        return
    design = walk.design
    lines = ceil_div(ceil_div(width, design.cores), design.lanes) * rows
    cycles = 2 * TIMING.token + TIMING.system + TIMING.meeting + design.cores * (lines + TIMING.exchange_core)
    walk.ready = walk.line.exchange(np.where(design.cores > 1, cycles, 0.0), walk.ready)
    walk.sliced = False


def group_rows(design: Design, rows: Any) -> Numbers:
    result: Numbers = np.minimum(rows, design.token_group)
    return result


def drain_cycles(design: Design, rows: Any) -> Numbers:
    """From the last word of an instruction to its retirement."""
    fixed = TIMING.token + TIMING.array_pipeline - 1 + TIMING.drain_write + TIMING.matrix_retire
    result: Numbers = fixed + drain_lines(design, rows)
    return result


def drain_lines(design: Design, rows: Any) -> Numbers:
    """Reads of the drain for one token group of a tile: the column scales of each row's lines, and its own."""
    result: Numbers = group_rows(design, rows) * (design.tile_columns / design.lanes + 1)
    return result


def matrix_cycles(walk: Walk, made: Stream, rows: Any) -> tuple[Opcode, Numbers]:
    """The class that multiplies `rows` rows and its cycles: one word or step a cycle in MV, two cycles a step in MM."""
    design = walk.design
    drain = drain_lines(design, rows)
    vector = made.tiles * np.maximum(np.maximum(made.steps, made.words), drain)
    groups = ceil_div(rows, design.token_group)
    # The last group of a tile may be smaller, and then drains faster; it is taken as a whole one.
    matrix = made.tiles * groups * np.maximum(np.maximum(2 * made.steps, made.words), drain)
    return (Opcode.MV if np.all(np.asarray(rows) == 1) else Opcode.MM), np.where(np.asarray(rows) == 1, vector, matrix)
