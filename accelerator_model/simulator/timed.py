"""A run with time: cores and units on one clock; results, if wanted, come with the retirements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, MatrixInstruction, Opcode, Ring, System, SystemOperation
from cosyn.accelerator_model.isa import meaning as meanings
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.sys_meaning import exchange
from cosyn.accelerator_model.program import Program
from cosyn.accelerator_model.simulator.array_unit import ArrayUnit
from cosyn.accelerator_model.simulator.core import TimedCore
from cosyn.accelerator_model.simulator.deadlock import Blocked, Place, deadlock
from cosyn.accelerator_model.simulator.dram import OpenRow
from cosyn.accelerator_model.simulator.functional import instruction_text, located
from cosyn.accelerator_model.simulator.kernel import Kernel
from cosyn.accelerator_model.simulator.load_unit import LoadUnit
from cosyn.accelerator_model.simulator.results import RunResult, Stall
from cosyn.accelerator_model.simulator.store_unit import StoreUnit
from cosyn.accelerator_model.simulator.system_unit import SystemUnit
from cosyn.accelerator_model.simulator.vector_unit import VectorUnit


class TimedRun:
    """One run of a program in cycles."""

    def __init__(
        self,
        config: AcceleratorConfig,
        program: Program,
        registers: tuple[int, ...],
        states: Sequence[CoreState] | None,
        started: int = 0,
        opened: Sequence[OpenRow | None] = (),
    ) -> None:
        self._program, self._states = program, states
        self._result = RunResult(peak_bytes_per_cycle=config.cores * config.stripe_bytes)
        self._kernel = Kernel()
        act = self._act if states is not None else None
        self._cores = [
            TimedCore(self._kernel, config, number, stream, registers, self._result, act, started, left)
            for number, (stream, left) in enumerate(zip_longest(program.cores, opened))
        ]
        for core in self._cores:
            LoadUnit(core)
            ArrayUnit(core)
            VectorUnit(core)
            StoreUnit(core)
        meet = (lambda instructions: exchange(instructions, states)) if states is not None else None
        self._system = SystemUnit(self._kernel, self._cores, meet)

    def run(self) -> RunResult:
        """Until every core has ended; DeadlockError when nothing can go on."""
        self._kernel.run()
        if not all(core.finished for core in self._cores):
            raise deadlock(self._blocked(), f"at cycle {self._kernel.now}")
        self._result.cycles = max(item.end for item in self._result.retirements)
        for core in self._cores:
            core.report()
        return self._result

    def opened(self) -> list[OpenRow | None]:
        """What each core's channels leave to the next run."""
        return [core.channel.opened for core in self._cores]

    def _act(self, core: int, index: int) -> int:
        """The instruction's action; its digest."""
        assert self._states is not None
        try:
            return meanings.execute(self._program.cores[core].instructions[index], self._states[core])
        except ProgramError as error:
            raise located(core, index, self._program.cores[core], error) from error

    def _blocked(self) -> dict[Place, Blocked]:
        """Every class of every core that has not ended, and what it waits for."""
        found: dict[Place, Blocked] = {}
        for core in self._cores:
            for opcode in Opcode:
                head = self._head(core, opcode)
                if head is not None:
                    index, instruction = head
                    text = instruction_text(core.stream, index)
                    found[core.number, opcode] = Blocked(text, tuple(self._reasons(core, opcode, index, instruction)))
        return found

    def _head(self, core: TimedCore, opcode: Opcode) -> tuple[int, Instruction] | None:
        """The oldest instruction of a class that has not retired."""
        if core.flights[opcode]:
            flight = core.flights[opcode][0]
            return flight.index, flight.instruction
        if core.queues[opcode]:
            index = core.queues[opcode][0][0]
            return index, core.stream.instructions[index]
        rest = enumerate(core.stream.instructions[core.dispatched :], core.dispatched)
        return next(((index, item) for index, item in rest if item.opcode == opcode), None)

    def _reasons(
        self, core: TimedCore, opcode: Opcode, index: int, instruction: Instruction
    ) -> list[tuple[Place, str]]:
        number = core.number
        if core.flights[opcode]:
            return self._unit_reasons(core, opcode, instruction)
        if core.queues[opcode]:
            return [((number, giver), f"a token from {giver.name}") for giver in core.missing(instruction)]
        full = core.full
        assert full is not None, "dispatch stops only at a full queue"
        return [((number, full), f"its dispatch, behind the full {full.name} queue")]

    def _unit_reasons(self, core: TimedCore, opcode: Opcode, instruction: Instruction) -> list[tuple[Place, str]]:
        number, wait = core.number, core.waits[opcode]
        if isinstance(instruction, System):
            if instruction.operation == SystemOperation.DONE:
                busy = [item for item in Opcode if item != Opcode.SYS and self._head(core, item)]
                return [((number, item), f"{item.name} to finish") for item in busy]
            name = SystemOperation(instruction.operation).name
            absent = [other.number for other in self._cores if other.number not in self._system.here]
            return [((other, Opcode.SYS), f"core {other} to reach {name}") for other in absent]
        if wait is None:
            taker = Opcode.MV if opcode == Opcode.MM else Opcode.MM
            return [((number, taker), f"the array, which {taker.name} has")]
        stall, ring = wait
        if stall == Stall.RING_EMPTY:
            held = core.rings[ring].stripes
            return [((number, Opcode.LD), f"words from the {ring.name} ring, which holds {held} stripes")]
        reader = self._reader(core, ring)
        return [((number, reader), f"room in the {ring.name} ring, which {reader.name} reads")]

    def _reader(self, core: TimedCore, ring: Ring) -> Opcode:
        """The class that reads `ring` next."""
        heads = [self._head(core, opcode) for opcode in (Opcode.MM, Opcode.MV)]
        readers = [
            (index, item.opcode)
            for index, item in (head for head in heads if head)
            if isinstance(item, MatrixInstruction) and item.ring == ring
        ]
        return min(readers)[1] if readers else Opcode.MV
