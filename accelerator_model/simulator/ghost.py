"""A core without contents: enough of its state to find out in which order a program can run."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Instruction, Load, LoadTarget, MatrixInstruction, Ring
from cosyn.accelerator_model.isa.ld_meaning import shape as load_shape
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.matrix_meaning import shape as matrix_shape


@dataclass(slots=True)
class GhostRing:
    """How many stripes wait."""

    stripes: int = 0


@dataclass(slots=True)
class GhostState:
    """Registers and ring levels."""

    config: AcceleratorConfig
    registers: tuple[int, ...]
    rings: dict[Ring, GhostRing] = field(default_factory=lambda: {ring: GhostRing() for ring in Ring})


def pass_words(instruction: Instruction, config: AcceleratorConfig, state: CoreState | GhostState) -> None:
    """Fill or empty the ring that `instruction` uses."""
    if not isinstance(state, GhostState):
        raise TypeError("only a ghost's rings are numbers")
    if isinstance(instruction, Load) and instruction.target != LoadTarget.VECTOR:
        state.rings[Ring(instruction.target)].stripes += load_shape(instruction, state.registers).stripes
    elif isinstance(instruction, MatrixInstruction):
        sizes = matrix_shape(instruction, config, state.registers)
        state.rings[Ring(instruction.ring)].stripes -= sizes.tiles * sizes.words * config.ring_reads
