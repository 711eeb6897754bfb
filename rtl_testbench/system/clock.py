"""When a program starts on the RTL, and the counters of its cycles."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.accelerator_model.control import CoreRegister, core_address
from cosyn.accelerator_model.isa import Opcode
from cosyn.rtl_testbench.errors import SessionError
from cosyn.rtl_testbench.session import RtlRetirement, RtlSession

_DOORBELL_CYCLES = 3
"""cosyn_control: from the cycle in which the host sees the answer to its write of START to the program's cycle 0."""


def ring_doorbell(session: RtlSession) -> int:
    """Send the register writes that wait, of which START is the last; the cycle since reset that the program counts 0.

    The memory refreshes by the cycle since reset, so the cycle simulator must know it.
    """
    session.read_registers([])
    return session.peek("cycle_q") + _DOORBELL_CYCLES


def check_start(started: int, retirements: Sequence[RtlRetirement], cycles: int) -> None:
    """SessionError unless a program of `cycles` cycles whose last instruction ended with it began at `started`."""
    found = max((item.cycle for item in retirements), default=0) - cycles
    if found != started:
        raise SessionError(
            f"the program started in cycle {found} since reset, expected {started}: cycles of the simulator are those"
            " of other refreshes; _DOORBELL_CYCLES in rtl_testbench/system/clock.py must follow cosyn_control"
        )


def read_busy(session: RtlSession) -> dict[tuple[int, Opcode], int]:
    """Cycles with an instruction in flight, by core and class."""
    keys = [(core, opcode) for core in range(session.config.cores) for opcode in Opcode]
    found = session.read_registers([core_address(core, CoreRegister.BUSY, opcode) for core, opcode in keys])
    return dict(zip(keys, found, strict=True))


def read_meeting_wait(session: RtlSession) -> int:
    """Cycles in which SYS waited for other cores, over all cores."""
    cores = range(session.config.cores)
    return sum(session.read_registers([core_address(core, CoreRegister.MEETING_WAIT) for core in cores]))
