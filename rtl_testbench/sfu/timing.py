"""Cycles of a MISC pass, as README.md states them."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.misc import Misc, Operand, Output, Reduction
from cosyn.accelerator_model.isa.misc_meaning import shape


def pass_cycles(instruction: Misc, config: AcceleratorConfig, registers: Sequence[int]) -> int:
    """Cycles from accept to done when the vector buffer grants every write at once."""
    size = shape(instruction, config, registers)
    kinds = (instruction.b_kind, instruction.c_kind, instruction.d_kind)
    vectors = 1 + kinds.count(Operand.VECTOR)
    words = kinds.count(Operand.ROW)
    reduces = instruction.reduction != Reduction.NONE
    writes_lines = instruction.output == Output.VECTOR
    gap = int(reduces and writes_lines and vectors == 1 and words == 0)
    row = gap + words + vectors * size.lines
    spacing = max(row, config.lanes) if reduces else row
    last_read = 1 + row + (size.rows - 1) * spacing
    lane_bits = config.lanes.bit_length() - 1
    if instruction.reduction in (Reduction.SUM, Reduction.SUM_SQUARES):
        return last_read + 41 + config.lanes + 4 * lane_bits
    if reduces:
        return last_read + 30 + config.lanes
    return last_read + {Output.NONE: 24, Output.VECTOR: 25, Output.ACTIVATION: 26}[Output(instruction.output)]
