"""A transport that runs every step on the RTL and in the cycle simulator, and compares each retirement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.config import INSTRUCTION_BYTES, REGISTERS
from cosyn.accelerator_model.control import (
    REGISTER_BASE,
    CoreRegister,
    core_address,
    describe_error,
    global_register,
)
from cosyn.accelerator_model.isa import Instruction, Opcode, Registers, Store, System, SystemOperation, decode
from cosyn.accelerator_model.isa.st_meaning import addresses
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program
from cosyn.accelerator_model.simulator.machine import Machine, register_file
from cosyn.accelerator_model.simulator.results import Retirement, RunResult
from cosyn.rtl_testbench.errors import SessionError
from cosyn.rtl_testbench.session import RtlRetirement, RtlSession
from cosyn.rtl_testbench.system.clock import check_start, read_busy, read_meeting_wait, ring_doorbell

Bytes = npt.NDArray[np.uint8]
Nodes = Callable[[int, int], Sequence[str] | None]
"""Core and byte address of a program → the IR node of each of its instructions, if known."""

_CONTROL, _STATUS = global_register("CONTROL"), global_register("STATUS")
_START = 1 << _CONTROL.field("START").low
_ERROR = 1 << _STATUS.field("ERROR").low


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first instruction that the RTL retired with other writes than the simulator, or did not retire at all."""

    core: int
    opcode: Opcode
    index: int
    node: str
    text: str
    simulated: int
    """Digest of its writes in the simulator."""
    found: int | None
    """The same in the RTL; None when the instruction never retired."""
    cycle: int
    """Of the RTL's retirement, counted from the start of the program."""
    reason: str = ""
    """What the accelerator reported, if it stopped."""

    def __str__(self) -> str:
        place = f"core {self.core}, instruction {self.index}" + (f" ({self.node})" if self.node else "")
        if self.found is None:
            what = f"never retired on the RTL ({self.reason or 'no error reported'})"
        else:
            what = f"wrote something else: digest {self.found:#010x}, expected {self.simulated:#010x}"
        return f"{place} {what}; {self.text}"


class LockstepError(SessionError):
    """The RTL and the simulator disagree."""

    def __init__(self, mismatch: Mismatch) -> None:
        super().__init__(str(mismatch))
        self.mismatch = mismatch


@dataclass(frozen=True, slots=True)
class StepRun:
    """One program, on both."""

    program: Program
    registers: Registers
    rtl_cycles: int
    result: RunResult
    retirements: tuple[RtlRetirement, ...]
    started: int
    """Cycle of the start, counted from reset: what retirements' cycles are compared with."""
    busy: Mapping[tuple[int, Opcode], int]
    """The RTL's own count of cycles with an instruction in flight."""
    meeting_wait: int
    """Those of SYS, over all cores, in which it waited for other cores."""

    @property
    def simulated_cycles(self) -> int:
        return self.result.cycles


class Lockstep:
    """A `Transport` to an RTL session and a simulated machine at once; raises at the first difference."""

    def __init__(
        self,
        session: RtlSession,
        stripes: Sequence[int],
        nodes: Nodes = lambda core, address: None,
        *,
        timing: bool = True,
        check_memory: bool = True,
    ) -> None:
        """`stripes` of memory for each core."""
        self.session, self.config = session, session.config
        width = self.config.stripe_bytes
        images = [MemoryImage(width, np.zeros((count, width), np.uint8)) for count in stripes]
        self.machine = Machine(self.config, images)
        self.steps: list[StepRun] = []
        self._nodes, self._timing, self._check_memory = nodes, timing, check_memory
        self._registers: dict[int, int] = {}
        self._instructions = [bytearray() for _ in stripes]
        self._bases = [0] * len(stripes)
        self._programs: dict[tuple[int, ...], Program] = {}
        self._pending = False

    # -- transport --------------------------------------------------------------------------------------------------

    def write_memory(self, core: int, stripe: int, data: Bytes) -> None:
        """Write stripes on both sides."""
        self.session.write_memory(core, stripe, data)
        self.machine.memory(core)[stripe : stripe + len(data)] = data

    def read_memory(self, core: int, stripe: int, count: int) -> Bytes:
        """Stripes of the RTL's memory."""
        return self.session.read_memory(core, stripe, count)

    def load_program(self, core: int, address: int, data: bytes) -> None:
        """Instructions for both sides."""
        self.session.load_program(core, address, data)
        memory = self._instructions[core]
        memory.extend(bytes(max(0, address + len(data) - len(memory))))
        memory[address : address + len(data)] = data
        self._programs.clear()

    def write_register(self, offset: int, value: int) -> None:
        """A control register; what the simulator needs of it is kept."""
        if offset == _CONTROL.address and value & _START:
            self._pending = True
        elif REGISTER_BASE < offset < REGISTER_BASE + 4 * REGISTERS:
            self._registers[(offset - REGISTER_BASE) // 4] = value
        for core in range(self.config.cores):
            if offset == core_address(core, CoreRegister.PROGRAM_BASE_LOW):
                self._bases[core] = value
        self.session.write_register(offset, value)

    def read_register(self, offset: int) -> int:
        """A control register of the RTL."""
        return self.session.read_register(offset)

    def wait_done(self, timeout: float) -> None:
        """Run the step on both sides; LockstepError at the first difference."""
        if not self._pending:
            self.session.wait_done(timeout)
            return
        self._pending = False
        program = self.program = self._program()
        self.registers = dict(self._registers)
        touched = self._touched(program)
        self._saved = [(self.machine.memory(core)[t], self.session.memory(core)[t]) for core, t in enumerate(touched)]
        self.session.take_retirements()
        started = ring_doorbell(self.session)
        with ThreadPoolExecutor(1) as pool:
            rtl = pool.submit(self.session.wait_done, timeout)
            result = self.machine.run(program, self._registers, timing=self._timing, started=started)
            rtl.result()
        self._compare(program, result, started)

    def close(self) -> None:
        """End the simulation."""
        self.session.close()

    def memories_before(self) -> tuple[list[Bytes], list[Bytes]]:
        """Copies of the cores' memories as they were before the last step: the simulator's, and the RTL's."""
        cores = range(self.config.cores)
        ours = [self.machine.memory(core).copy() for core in cores]
        theirs = [self.session.memory(core)[: len(ours[core])].copy() for core in cores]
        for core, touched in enumerate(self._touched(self.program)):
            ours[core][touched], theirs[core][touched] = self._saved[core]
        return ours, theirs

    # -- comparison ---------------------------------------------------------------------------------------------------

    def _program(self) -> Program:
        """The program that the base registers point to."""
        bases = tuple(self._bases)
        if bases not in self._programs:
            self._programs[bases] = Program(1, tuple(self._core_program(*pair) for pair in enumerate(bases)))
        return self._programs[bases]

    def _core_program(self, core: int, base: int) -> CoreProgram:
        """The instructions from `base` to DONE."""
        memory = self._instructions[core]
        found: list[Instruction] = []
        while not found or not _ends(found[-1]):
            start = base + INSTRUCTION_BYTES * len(found)
            if start >= len(memory):
                raise SessionError(f"core {core}: the program at {base:#x} has no SYS done")
            found.append(decode(bytes(memory[start : start + INSTRUCTION_BYTES])))
        nodes = self._nodes(core, base)
        return CoreProgram(tuple(found), tuple(nodes) if nodes else ("",) * len(found))

    def _compare(self, program: Program, result: RunResult, started: int) -> None:
        retirements = self.session.take_retirements()
        self.last_retirements = tuple(retirements)
        reason, blamed = "", None
        if self.session.read_register(_STATUS.address) & _ERROR:
            places = [global_register(name).address for name in ("ERROR", "ERROR_DETAIL")]
            error, detail = self.session.read_registers(places)
            reason, blamed = describe_error(error, detail), (error >> 8 & 0xFF, error >> 16 & 0xF)
        cycles = self.session.cycles()
        mismatch = first_mismatch(program, result.retirements, retirements, started, reason, blamed)
        if mismatch is not None:
            raise LockstepError(mismatch)
        if self._check_memory:
            self._compare_memory(program)
        check_start(started, retirements, cycles)
        self.steps.append(
            StepRun(
                program, dict(self._registers), cycles, result, self.last_retirements, started, read_busy(self.session),
                read_meeting_wait(self.session),
            )
        )  # fmt: skip

    def _compare_memory(self, program: Program) -> None:
        """Every stripe that the program stores to must be the same: digests do not see what the channel makes of it."""
        for core, touched in enumerate(self._touched(program)):
            found, expected = self.session.memory(core)[touched], self.machine.memory(core)[touched]
            if not np.array_equal(found, expected):
                row, byte = (int(part) for part in np.argwhere(found != expected)[0])
                raise SessionError(
                    f"core {core}: memory stripe {int(touched[row])} byte {byte} holds {int(found[row, byte]):#04x},"
                    f" the simulator has {int(expected[row, byte]):#04x}, though every retirement agreed"
                )

    def _touched(self, program: Program) -> list[npt.NDArray[np.intp]]:
        """The stripes that each core's program stores to."""
        registers = register_file(self._registers)
        found: list[npt.NDArray[np.intp]] = []
        for stream in program.cores:
            stores = [item for item in stream.instructions if isinstance(item, Store)]
            stripes = [addresses(item, self.config, registers) for item in stores]
            found.append(np.unique(np.concatenate(stripes)) if stripes else np.zeros(0, np.intp))
        return found


def _ends(instruction: Instruction) -> bool:
    return isinstance(instruction, System) and instruction.operation == SystemOperation.DONE


def first_mismatch(
    program: Program,
    simulated: Sequence[Retirement],
    found: Sequence[RtlRetirement],
    started: int = 0,
    reason: str = "",
    blamed: tuple[int, int] | None = None,
) -> Mismatch | None:
    """The first difference in the RTL's time: classes retire in order, so the n-th of a class is the same on both.

    `blamed` is the core and class that reported the error for `reason`.
    """
    theirs: dict[tuple[int, Opcode], list[RtlRetirement]] = defaultdict(list)
    for item in found:
        theirs[item.core, item.opcode].append(item)
    ours: dict[tuple[int, Opcode], list[Retirement]] = defaultdict(list)
    for wanted in simulated:
        ours[wanted.core, wanted.opcode].append(wanted)
    last = max((item.cycle for item in found), default=started)
    candidates = []
    for (core, opcode), wanted_list in ours.items():
        got = theirs[core, opcode]
        for number, wanted in enumerate(wanted_list):
            seen = got[number] if number < len(got) else None
            if seen is not None and (seen.digest == wanted.digest or opcode == Opcode.SYS):
                continue
            # What never retired comes after everything that did; among those, what stopped the others, then in order.
            when = (seen.cycle, 0) if seen else (last + 1, -1 if (core, opcode) == blamed else wanted.index)
            text = program.cores[core].instructions[wanted.index].assembly()
            candidates.append(
                (
                    when,
                    Mismatch(
                        core,
                        opcode,
                        wanted.index,
                        wanted.node,
                        text,
                        wanted.digest,
                        seen.digest if seen else None,
                        when[0] - started,
                        reason,
                    ),
                )
            )
            break
    extra = [key for key, got in theirs.items() if len(got) > len(ours[key])]
    if not candidates and extra:
        core, opcode = extra[0]
        return Mismatch(core, opcode, -1, "", "no such instruction", 0, theirs[extra[0]][-1].digest, last - started)
    return min(candidates, key=lambda pair: pair[0])[1] if candidates else None
