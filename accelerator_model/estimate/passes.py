"""Cycles of sequences of passes on the special-function unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.estimate.design import Design, ceil_div
from cosyn.accelerator_model.isa.misc import Output, Reduction
from cosyn.accelerator_model.sequences import Pass, Passes, PerRow, Scalar, Shared
from cosyn.accelerator_model.simulator.timing import TIMING

Numbers = NDArray[np.float64]


def pass_cycles(passes: Passes, rows: Any, columns: Any, design: Design) -> tuple[Numbers, Numbers]:
    """Cycles and elements of `passes` over `rows` rows of `columns`, each issued when the one before it retires."""
    cycles, elements = np.zeros(()), np.zeros(())
    for step in passes:
        # Scalars of all rows are one row.
        lines = ceil_div(rows if step.over_rows else columns, design.lanes)
        count = 1.0 if step.over_rows else rows
        cycles = cycles + _cycles(step, count, lines, design)
        elements = elements + count * lines * design.lanes
    return cycles, elements


def _cycles(step: Pass, rows: Any, lines: Numbers, design: Design) -> Numbers:
    """One pass, from issue to retirement: as the simulator's `VectorUnit` counts an instruction.

    Operands come through one port, a line a cycle: `a`, then every other vector; a row's scalars take a cycle each.
    """
    sources = [source for source in (step.b, step.c, step.d) if source is not None]
    scalars = sum(isinstance(source, Scalar) for source in sources)
    vectors = 1 + sum(isinstance(source, PerRow | Shared) for source in sources)
    if step.over_rows:
        vectors, scalars = vectors + scalars, 0
    reduces = step.reduction is not Reduction.NONE
    gap = int(reduces and step.output is Output.VECTOR and not scalars and vectors == 1)
    row = gap + scalars + vectors * lines
    period = np.maximum(row, design.lanes) if reduces else row
    last = TIMING.misc_start - 1 + (rows - 1) * period + row + TIMING.misc_lanes
    write = _WRITE[step.output]
    if not reduces:
        result: Numbers = last + write
        return result
    if step.reduction in (Reduction.SUM, Reduction.SUM_SQUARES):
        reduction = TIMING.misc_sum + design.lanes + 4 * np.log2(design.lanes)
    else:
        reduction = TIMING.misc_maximum + design.lanes
    result = last + np.maximum(write, reduction + TIMING.misc_reduction)
    return np.asarray(result)


_WRITE = {
    Output.NONE: TIMING.misc_nothing,
    Output.VECTOR: TIMING.misc_vector,
    Output.ACTIVATION: TIMING.misc_activation,
}
