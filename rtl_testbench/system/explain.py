"""Where two runs of an instruction first differ: the element, both values, and a waveform of the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.control import CoreRegister, core_address, global_register, runtime_register_address
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, Opcode, Register
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.program import Program
from cosyn.accelerator_model.simulator.functional import FunctionalRun
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.rtl_testbench.errors import SessionError
from cosyn.rtl_testbench.session import RtlSession

Bytes = npt.NDArray[np.uint8]

Place = tuple[str, int, int, int]
"""Buffer ("vector" or "activation"), bank, line, and word (vector) or byte (activation) of the line."""

_WRITE = np.dtype("<u4, <u4, <u4, <u4, <u8, <u8, (64,)u1")
_WRITE.names = ("place", "address", "slot", "unused", "mask", "cycle", "data")
_ACTIVATION_WRITER = 6
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The first element, in order of its address, that an instruction wrote differently."""

    text: str
    waves: Path | None
    """Waveform of the whole step; None where the tools cannot write one."""


def explain(
    config: AcceleratorConfig,
    program: Program,
    registers: dict[Register, int],
    memories: Sequence[Bytes],
    core: int,
    opcode: Opcode,
    index: int,
    *,
    waves: bool = True,
    folders: Sequence[Path] = (),
    rtl_program: Program | None = None,
) -> Difference:
    """Run the step again, on the RTL with every write recorded and in the simulator, and compare that instruction.

    `memories` are the cores' memories as they were before the step; `rtl_program` is what the RTL runs, if not the
    same.
    """
    run = _expected(config, program, registers, memories, core, index)
    size = max(memory.size for memory in memories)
    session = RtlSession(config, data_bytes=size, waves=waves, trace_writes=True, folders=folders)
    with session:
        for number, memory in enumerate(memories):
            session.write_memory(number, 0, memory)
            session.load_program(number, 0, (rtl_program or program).cores[number].to_bytes())
            session.write_register(core_address(number, CoreRegister.PROGRAM_BASE_LOW), 0)
        for register, value in registers.items():
            session.write_register(runtime_register_address(register), value)
        session.write_register(global_register("CONTROL").address, 1)
        try:
            session.wait_done(_PATIENCE_SECONDS, cycles=50_000_000)
        except SessionError as error:
            hang = f"; {error}"
        else:
            hang = ""
        same_class = [i for i, item in enumerate(program.cores[core].instructions) if item.opcode == opcode]
        order = same_class.index(index)
        cycles = [item.cycle for item in session.take_retirements() if (item.core, item.opcode) == (core, opcode)]
        records = np.fromfile(session.folder / "writes.bin", _WRITE)
    path = session.folder / "waves.fst" if waves else None
    if order >= len(cycles):
        return Difference(f"it never retired{hang}", path)
    since = cycles[order - 1] if order else 0
    found = _found(config, records, core, opcode, since, cycles[order])
    # Written with the value that was there before is no change; but a place that should not change may have.
    extra = {place: run.after(place) for place in found if place not in run.written}
    return Difference(_first(run.written | extra, found), path)


def _expected(
    config: AcceleratorConfig,
    program: Program,
    registers: dict[Register, int],
    memories: Sequence[Bytes],
    core: int,
    index: int,
) -> _Recording:
    """The simulator's run, with what that instruction writes to the buffers."""
    numbers = register_file(registers)
    states = [CoreState(config, memory.copy()) for memory in memories]
    for state in states:
        state.start(numbers)
    run = _Recording(config, program, states, program.cores[core].instructions[index], core)
    try:
        run.run()
    except ProgramError:
        if not run.written:
            raise
    return run


class _Recording(FunctionalRun):
    """Remembers what one instruction of one core writes."""

    def __init__(
        self,
        config: AcceleratorConfig,
        program: Program,
        states: Sequence[CoreState],
        wanted: Instruction,
        core: int,
    ) -> None:
        super().__init__(config, program, states)
        self._wanted, self._core, self._state, self._lanes = wanted, core, states[core], config.lanes
        self.written: dict[Place, int] = {}

    def _execute(self, core: int, instruction: Instruction) -> None:
        # By identity: equal instructions may stand at several places.
        if core != self._core or instruction is not self._wanted:
            super()._execute(core, instruction)
            return
        state = self._state
        vector, activation = state.vector.copy(), state.activation.copy()
        vector_known, activation_known = state.vector_known.copy(), state.activation_known.copy()
        super()._execute(core, instruction)
        for line, lane in np.argwhere((state.vector != vector) | (state.vector_known & ~vector_known)).tolist():
            self.written["vector", 0, line, lane] = int(state.vector[line, lane])
        changed = (state.activation != activation) | (state.activation_known & ~activation_known)
        for bank, line, byte in np.argwhere(changed).tolist():
            self.written["activation", bank, line, byte] = int(state.activation[bank, line, byte])
        self._after = state.vector.copy(), state.activation.copy()

    def after(self, place: Place) -> int:
        """What the buffer holds at `place` when the instruction has retired."""
        kind, bank, line, part = place
        vector, activation = self._after
        return int(vector[line, part] if kind == "vector" else activation[bank, line, part])


def _found(
    config: AcceleratorConfig, records: npt.NDArray[Any], core: int, opcode: Opcode, since: int, until: int
) -> dict[Place, int]:
    """What the RTL's unit wrote after cycle `since` and up to `until`."""
    writer = Opcode.MM if opcode in (Opcode.MM, Opcode.MV) else opcode
    mine = (records["cycle"] > since) & (records["cycle"] <= until)
    written: dict[Place, int] = {}
    for record in records[mine & (records["place"] == core * 8 + int(writer))]:
        words = record["data"].view("<u4")
        for lane in range(config.lanes):
            if int(record["mask"]) >> lane & 1:
                written["vector", 0, int(record["address"]), lane] = int(words[lane])
    if opcode == Opcode.MISC:
        for record in records[mine & (records["place"] == core * 8 + _ACTIVATION_WRITER)]:
            bank, slot = divmod(int(record["slot"]), 1 << 16)
            for lane in range(config.lanes):
                place = ("activation", bank, int(record["address"]), slot * config.lanes + lane)
                written[place] = int(record["data"][lane])
    return written


def _first(expected: dict[Place, int], found: dict[Place, int]) -> str:
    """The first difference in words."""
    differences = list(_differences(expected, found))
    if not differences:
        return "the buffers hold the same values: the order of its writes, their number, or what it stored differs"
    place, text = differences[0]
    kind, bank, line, part = place
    where = f"vector line {line} lane {part}" if kind == "vector" else f"activation bank {bank} line {line} byte {part}"
    return f"{where}: {text} ({len(differences)} of {len(expected)} elements differ)"


def _differences(expected: dict[Place, int], found: dict[Place, int]) -> Iterator[tuple[Place, str]]:
    for place, value in sorted(expected.items()):
        if place not in found:
            yield place, f"the RTL never wrote it, expected {_value(place, value)}"
        elif found[place] != value:
            yield place, f"the RTL has {_value(place, found[place])}, expected {_value(place, value)}"


def _value(place: Place, bits: int) -> str:
    if place[0] == "activation":
        return str(bits - 256 if bits > 127 else bits)
    return f"{bits:#010x} ({np.uint32(bits).view(np.float32)})"
