"""Puts a program on both sides of a lockstep and runs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.control import CoreRegister, core_address, global_register, runtime_register_address
from cosyn.accelerator_model.isa import Registers
from cosyn.accelerator_model.program import Program
from cosyn.rtl_testbench.system.lockstep import Lockstep

_CONTROL, _STATUS = global_register("CONTROL"), global_register("STATUS")
START = 1 << _CONTROL.field("START").low
DONE = 1 << _STATUS.field("DONE").low


def load(
    lockstep: Lockstep,
    program: Program,
    memories: Sequence[npt.NDArray[np.uint8]],
    registers: Registers,
    address: int = 0,
) -> None:
    """Memory, instructions and registers; everything but the doorbell."""
    for core, memory in enumerate(memories):
        lockstep.write_memory(core, 0, memory)
        lockstep.load_program(core, address, program.cores[core].to_bytes())
        lockstep.write_register(core_address(core, CoreRegister.PROGRAM_BASE_LOW), address)
    for register, value in registers.items():
        lockstep.write_register(runtime_register_address(register), value)


def run(lockstep: Lockstep, timeout: float = 300.0) -> None:
    """Ring the doorbell and wait; LockstepError at the first difference."""
    lockstep.write_register(_CONTROL.address, START)
    lockstep.wait_done(timeout)
    lockstep.write_register(_STATUS.address, DONE)
