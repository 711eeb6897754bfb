"""The meaning of every instruction: what is not legal about it, and what it does to a core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import ld_meaning, matrix_meaning, misc_meaning, st_meaning, sys_meaning
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.ld import Load
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.matrix import MatrixInstruction
from cosyn.accelerator_model.isa.misc import Misc
from cosyn.accelerator_model.isa.operands import wrong_registers
from cosyn.accelerator_model.isa.st import Store
from cosyn.accelerator_model.isa.sys import System


def problems(
    instruction: Instruction, config: AcceleratorConfig, registers: Sequence[int], stripes: int
) -> Iterator[str]:
    """One sentence per rule that `instruction` breaks on a core whose memory has `stripes` stripes."""
    if wrong := [name for name, _, _ in instruction.layout() if name.endswith("_reg")]:
        broken = list(wrong_registers(*(getattr(instruction, name) for name in wrong)))
        yield from broken
        if broken:
            return
    if isinstance(instruction, Load):
        yield from ld_meaning.problems(instruction, config, registers, stripes)
    elif isinstance(instruction, Store):
        yield from st_meaning.problems(instruction, config, registers, stripes)
    elif isinstance(instruction, MatrixInstruction):
        yield from matrix_meaning.problems(instruction, config, registers, stripes)
    elif isinstance(instruction, Misc):
        yield from misc_meaning.problems(instruction, config, registers, stripes)
    elif isinstance(instruction, System):
        yield from sys_meaning.problems(instruction, config, registers, stripes)


def execute(instruction: Instruction, state: CoreState) -> int:
    """Act on the core; the digest of the writes. SYS acts on all cores at once: see `sys_meaning.exchange`."""
    if isinstance(instruction, Load):
        return ld_meaning.execute(instruction, state)
    if isinstance(instruction, Store):
        return st_meaning.execute(instruction, state)
    if isinstance(instruction, MatrixInstruction):
        return matrix_meaning.execute(instruction, state)
    if isinstance(instruction, Misc):
        return misc_meaning.execute(instruction, state)
    return 0
