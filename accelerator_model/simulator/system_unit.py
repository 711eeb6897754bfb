"""SYS in time: cores meet, exchange lines in turn, and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cosyn.accelerator_model.isa import Opcode, System, SystemOperation
from cosyn.accelerator_model.simulator.core import Flight, TimedCore
from cosyn.accelerator_model.simulator.kernel import Kernel, Process, Signal
from cosyn.accelerator_model.simulator.meeting import check_meeting
from cosyn.accelerator_model.simulator.results import Stall
from cosyn.accelerator_model.simulator.timing import TIMING


class SystemUnit:
    """The SYS units of all cores: the place where they meet."""

    def __init__(
        self, kernel: Kernel, cores: Sequence[TimedCore], exchange: Callable[[Sequence[System]], None] | None
    ) -> None:
        self._kernel, self._cores, self._exchange = kernel, cores, exchange
        self.here: dict[int, Flight] = {}
        """Cores that wait for the others."""
        self._met = Signal(kernel)
        self._meetings = 0
        self._leave = 0
        for core in cores:
            kernel.schedule(0, self._serve(core))

    def _serve(self, core: TimedCore) -> Process:
        while True:
            flight = yield from core.issue(Opcode.SYS)
            instruction = flight.instruction
            yield self._kernel.now + TIMING.system
            assert isinstance(instruction, System)
            if instruction.operation in (SystemOperation.BARRIER, SystemOperation.EXCHANGE):
                self.here[core.number] = flight
                meeting = self._meetings
                if len(self.here) == len(self._cores):
                    self._meet()
                while meeting == self._meetings:
                    yield self._met
                core.stall(Opcode.SYS, Stall.BARRIER, self._kernel.now - flight.start - TIMING.system)
                yield self._leave
            elif instruction.operation == SystemOperation.DONE:
                while not core.others_idle:
                    yield core.retired
                    yield self._kernel.now + 1
                core.finished = True
            core.retire(flight)
            yield self._kernel.now + 1

    def _meet(self) -> None:
        """All cores are here: exchange, and say when they may leave."""
        instructions = check_meeting([self.here[core.number].instruction for core in self._cores])
        self._leave = self._kernel.now + TIMING.meeting
        if instructions[0].operation == SystemOperation.EXCHANGE:
            if len(self._cores) > 1:
                self._leave = self._turns(instructions)
            if self._exchange:
                self._exchange(instructions)
        self.here.clear()
        self._meetings += 1
        self._met.notify()

    def _turns(self, instructions: Sequence[System]) -> int:
        """Each core in turn writes its lines into the others, before all else that writes there; when all may leave."""
        cycle = self._leave
        for sender, item in zip(self._cores, instructions, strict=True):
            count = item.rows * item.lines
            for core in self._cores:
                if core is not sender:
                    core.port.mark(cycle + TIMING.exchange_write, count, 1)
            cycle += count + TIMING.exchange_core
        return cycle
