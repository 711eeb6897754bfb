"""Random legal programs: every instruction class, mode and operand kind, on data that reaches the corners."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import (
    Instruction,
    Register,
    System,
    SystemOperation,
    mask,
)
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.rtl_testbench.system.random_matrix import matrix
from cosyn.rtl_testbench.system.random_misc import activate, misc
from cosyn.rtl_testbench.system.random_moves import append, barrier, exchange, load, store_lines
from cosyn.rtl_testbench.system.random_scratch import STRIPES, Bytes, Scratch

__all__ = ["STRIPES", "RandomProgram", "in_sequence", "random_program"]

_WEIGHTS: Mapping[Callable[[Scratch, random.Random], None], int] = {
    load: 4,
    misc: 10,
    activate: 5,
    matrix: 8,
    store_lines: 3,
    append: 4,
    barrier: 1,
    exchange: 1,
}
"""How often each kind is drawn."""


@dataclass(frozen=True, slots=True)
class RandomProgram:
    """A program with the memory and the registers that it needs."""

    program: Program
    memories: tuple[Bytes, ...]
    registers: dict[Register, int]


def in_sequence(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Each instruction waits for the one before it, if that has another class."""
    found = list(instructions)
    for index in range(1, len(found)):
        before, after = found[index - 1], found[index]
        if before.opcode != after.opcode:
            found[index - 1] = replace(before, release=before.release | mask(after.opcode))
            found[index] = replace(after, wait=after.wait | mask(before.opcode))
    return found


def random_program(
    config: AcceleratorConfig, seed: int, length: int = 40, *, whole_groups: bool = False
) -> RandomProgram:
    """A program of about `length` instructions a core; the same for the same seed.

    With `whole_groups` activations come in whole token groups. MM multiplies all rows of a group, also those that
    nobody wrote: in a simulator with unknown values their results are unknown.
    """
    draw = random.Random(seed)
    registers: dict[Register, int] = {r: draw.randrange(1, 64) for r in Register if r != Register.ZERO}
    # The place that ST appends at; steps and tiles must lie inside the scratch memory.
    registers[Register.KEY_TILE] = draw.randrange(3)
    registers[Register.KEY_COLUMN] = draw.randrange(config.tile_columns)
    registers[Register.VALUE_STEP] = draw.randrange(3)
    registers[Register.VALUE_LANE] = draw.randrange(config.chain_length)
    registers[Register.SCALE_STRIPE] = draw.randrange(3)
    registers[Register.SCALE_WORD] = draw.randrange(config.stripe_bytes // 4)
    plan = [draw.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0] for _ in range(length)]
    group = config.token_group if whole_groups else 1
    scratches = [Scratch(config, seed * 64 + core, registers, core, group) for core in range(config.cores)]
    for kind in plan:
        for scratch in scratches:
            kind(scratch, scratch.draw)
    for scratch in scratches:
        scratch.instructions.append(System(operation=SystemOperation.DONE))
    streams = [tuple(in_sequence(scratch.instructions)) for scratch in scratches]
    cores = tuple(CoreProgram(stream, tuple(f"random {i}" for i in range(len(stream)))) for stream in streams)
    return RandomProgram(Program(1, cores), tuple(scratch.memory for scratch in scratches), registers)
