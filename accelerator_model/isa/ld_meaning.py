"""What LD demands and does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa.digest import fold, rotate_xor
from cosyn.accelerator_model.isa.ld import Load, LoadTarget
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.matrix import Ring
from cosyn.accelerator_model.isa.operands import added, multiplied, out_of_range, run_lines


class LoadShape(NamedTuple):
    """The runs of a load, in stripes."""

    address: int
    rows: int
    row_stride: int
    length: int

    @property
    def stripes(self) -> int:
        """All that it moves."""
        return self.rows * self.length


def shape(instruction: Load, registers: Sequence[int]) -> LoadShape:
    """The runs with the registers in place."""
    return LoadShape(
        added(instruction.address, instruction.address_reg, registers, instruction.bank),
        instruction.rows,
        instruction.row_stride,
        multiplied(instruction.length, instruction.length_reg, registers, instruction.bank),
    )


def problems(instruction: Load, config: AcceleratorConfig, registers: Sequence[int], stripes: int) -> Iterator[str]:
    """What is not legal about it, a sentence each."""
    runs = shape(instruction, registers)
    if runs.stripes == 0:
        yield f"LD moves nothing: rows {runs.rows}, length {runs.length}"
    yield from out_of_range("LD.address: the stripe", runs.address, runs.rows, runs.row_stride, runs.length, stripes)
    if instruction.target == LoadTarget.VECTOR:
        lines = runs.length * config.stripe_lines
        yield from out_of_range(
            "LD.vector_line: the vector line",
            instruction.vector_line,
            runs.rows,
            instruction.vector_stride,
            lines,
            config.vector_lines,
        )


def execute(instruction: Load, state: CoreState) -> int:
    """Move the stripes; the digest of what was moved. ProgramError when a checksum differs."""
    runs = shape(instruction, state.registers)
    if runs.rows == 1 or runs.row_stride == runs.length:
        data = state.memory[runs.address : runs.address + runs.stripes]
    else:
        data = state.memory[run_lines(runs.address, runs.rows, runs.row_stride, runs.length).reshape(-1)]
    digest = rotate_xor(fold(data))
    if instruction.checked and digest != instruction.checksum:
        raise ProgramError(f"LD.checksum is {instruction.checksum:#010x}, memory gives {digest:#010x}: corrupt memory")
    if instruction.target == LoadTarget.VECTOR:
        config = state.config
        lines = run_lines(
            instruction.vector_line, runs.rows, instruction.vector_stride, runs.length * config.stripe_lines
        )
        words = np.ascontiguousarray(data).view(np.uint32)
        state.write_lines(lines, words.reshape(*lines.shape, config.lanes))
    else:
        # A copy: memory may be stored to before the matrix engine has taken the words.
        state.rings[Ring(instruction.target)].push(data.copy())
    return digest
