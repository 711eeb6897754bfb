"""The simulated accelerator: memory that persists, and programs that run on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import REGISTERS, AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Register, Registers, register_name
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.program import MemoryImage, Program
from cosyn.accelerator_model.simulator.dram import OpenRow
from cosyn.accelerator_model.simulator.functional import FunctionalRun, check_program
from cosyn.accelerator_model.simulator.results import RunResult
from cosyn.accelerator_model.simulator.timed import TimedRun


class Machine:
    """Cores with a memory image each; stores of one run (the KV cache) are there in the next."""

    def __init__(self, config: AcceleratorConfig, images: Sequence[MemoryImage]) -> None:
        if len(images) != config.cores:
            raise ProgramError(f"{config.name} has {config.cores} cores, found {len(images)} memory images")
        self.config = config
        self.states = [CoreState(config, image.stripes) for image in images]
        self._opened: list[OpenRow | None] = [None] * config.cores

    def memory(self, core: int) -> NDArray[np.uint8]:
        """A core's memory [stripes, stripe_bytes]; what is written here, programs read."""
        return self.states[core].memory

    def run(
        self,
        program: Program,
        registers: Registers,
        *,
        timing: bool = True,
        values: bool = True,
        started: int = 0,
    ) -> RunResult:
        """Run `program` to its end.

        Without `timing` only results are computed; without `values` only cycles. The program starts `started` cycles
        after reset, from which the memory's refreshes count, and finds the rows open that the run before left.
        ProgramError names the instruction that is not legal; DeadlockError says who waits for whom.
        """
        numbers = register_file(registers)
        check_program(self.config, program, numbers, [len(state.memory) for state in self.states])
        for state in self.states:
            state.start(numbers)
        if timing:
            timed = TimedRun(self.config, program, numbers, self.states if values else None, started, self._opened)
            result = timed.run()
            self._opened = timed.opened()
            return result
        return FunctionalRun(self.config, program, self.states).run()


def register_file(registers: Registers) -> tuple[int, ...]:
    """All registers in order; those not named are 0. ProgramError for a value beyond 32 bits."""
    numbers = [0] * REGISTERS
    for register, value in registers.items():
        if not 0 <= value < 1 << 32 or register == Register.ZERO:
            raise ProgramError(f"register {register_name(register)} cannot hold {value}")
        numbers[register] = int(value)
    return tuple(numbers)
