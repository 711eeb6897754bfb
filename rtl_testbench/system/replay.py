"""Runs one step again on the RTL, with every write to a buffer recorded, and waves of a window of cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.control import CoreRegister, core_address, global_register, runtime_register_address
from cosyn.accelerator_model.isa import Opcode, Registers
from cosyn.accelerator_model.program import Program
from cosyn.rtl_testbench.errors import SessionTimeout
from cosyn.rtl_testbench.session import RtlRetirement, RtlSession
from cosyn.rtl_testbench.system.places import Place

Bytes = npt.NDArray[np.uint8]

_WRITE = np.dtype("<u4, <u4, <u4, <u4, <u8, <u8, (64,)u1")
_WRITE.names = ("place", "address", "slot", "unused", "mask", "cycle", "data")
"""A record of writes.bin, see cosyn_memory.cpp; `place` is core * 8 + class of the writer, or + 6."""
_ACTIVATION_WRITER = 6
_PATIENCE_SECONDS = 600.0
_PATIENCE_CYCLES = 50_000_000


class Window(NamedTuple):
    """Cycles since reset, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Step:
    """What runs, and on what; memories as they are before it."""

    config: AcceleratorConfig
    program: Program
    registers: Registers
    memories: Sequence[Bytes]
    folders: Sequence[Path] = ()
    """Where modules are sought before rtl/."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What the RTL did."""

    config: AcceleratorConfig
    retirements: tuple[RtlRetirement, ...]
    records: npt.NDArray[Any]
    memories: tuple[Bytes, ...]
    """When the run ended, or its window."""
    failure: str
    """Why it did not end as it should; empty if it did."""
    waves: Path | None
    ended: int
    """In this cycle: an error ends a run before its window does."""

    def cycles(self, core: int, opcode: Opcode) -> list[int]:
        """When the instructions of a core and class retired, in program order."""
        return [item.cycle for item in self.retirements if (item.core, item.opcode) == (core, opcode)]

    def written(self, core: int, opcode: Opcode, since: int, until: int) -> dict[Place, int]:
        """What the unit of that class wrote to the buffers after cycle `since` and up to `until`."""
        config, records = self.config, self.records
        writer = Opcode.MM if opcode in (Opcode.MM, Opcode.MV) else opcode
        mine = (records["cycle"] > since) & (records["cycle"] <= until)
        found: dict[Place, int] = {}
        for record in records[mine & (records["place"] == core * 8 + int(writer))]:
            words = record["data"].view("<u4")
            for lane in range(config.lanes):
                if int(record["mask"]) >> lane & 1:
                    found[Place("vector", 0, int(record["address"]), lane)] = int(words[lane])
        if opcode == Opcode.MISC:
            for record in records[mine & (records["place"] == core * 8 + _ACTIVATION_WRITER)]:
                bank, slot = divmod(int(record["slot"]), 1 << 16)
                for lane in range(config.lanes):
                    byte = slot * config.lanes + lane
                    found[Place("activation", bank, int(record["address"]), byte)] = int(record["data"][lane])
        return found


def replay(step: Step, window: Window | None = None, *, waves: bool = True) -> Replay:
    """Run `step` from reset: to its end, or with a `window` to the end of that, and with `waves` those of it.

    The same step takes the same cycles each time. A run for a window with `waves` uses the simulation of a run without
    one.
    """
    config, size = step.config, max(memory.size for memory in step.memories)
    session = RtlSession(config, data_bytes=size, window=waves, trace_writes=True, folders=step.folders)
    path, failure = None, ""
    with session:
        for core, memory in enumerate(step.memories):
            session.write_memory(core, 0, memory)
            session.load_program(core, 0, step.program.cores[core].to_bytes())
            session.write_register(core_address(core, CoreRegister.PROGRAM_BASE_LOW), 0)
        for register, value in step.registers.items():
            session.write_register(runtime_register_address(register), value)
        if window is not None and waves:
            path = session.record_from(window.first)
        session.write_register(global_register("CONTROL").address, 1)
        cycles = _PATIENCE_CYCLES if window is None else max(1, window.last - session.peek("cycle_q"))
        try:
            session.wait_done(_PATIENCE_SECONDS, cycles)
        except SessionTimeout as error:
            failure = str(error)
        ended = session.peek("cycle_q")
        return Replay(
            config,
            tuple(session.take_retirements()),
            np.fromfile(session.folder / "writes.bin", _WRITE),
            tuple(session.memory(core).copy() for core in range(config.cores)),
            failure,
            path,
            ended,
        )
