"""One core in time: fetch and dispatch, queues, tokens, retirement. The units are processes of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from cosyn.accelerator_model.config import INSTRUCTION_BYTES, AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, Opcode, Ring
from cosyn.accelerator_model.program import CoreProgram
from cosyn.accelerator_model.simulator.dram import Channel, OpenRow
from cosyn.accelerator_model.simulator.kernel import Kernel, Process, Signal
from cosyn.accelerator_model.simulator.port import WritePort
from cosyn.accelerator_model.simulator.results import Retirement, RunResult, Stall
from cosyn.accelerator_model.simulator.ring import TimedRing
from cosyn.accelerator_model.simulator.timing import TIMING

Steps = Generator["int | Signal", None, int]
"""Part of a process whose value is a cycle."""

_INSTRUCTION_PORT_BYTES = 16
_TOKENS = 255
"""An RTL token counter has eight bits."""


@dataclass(slots=True)
class Flight:
    """An instruction that a unit holds."""

    index: int
    instruction: Instruction
    start: int
    digest: int = 0


class TimedCore:
    """What the units of a core share."""

    def __init__(
        self,
        kernel: Kernel,
        config: AcceleratorConfig,
        number: int,
        stream: CoreProgram,
        registers: tuple[int, ...],
        result: RunResult,
        act: Callable[[int, int], int] | None,
        started: int,
        opened: OpenRow | None,
    ) -> None:
        self.kernel, self.config, self.number = kernel, config, number
        self.stream, self.registers, self.result = stream, registers, result
        self.channel = Channel(config.memory, config.channel_bytes, started, opened)
        """All channels of a core move in lockstep, so one stands for all."""
        self.rings = {
            Ring.WEIGHTS: TimedRing(kernel, config.weight_ring_words, config.ring_reads),
            Ring.KV: TimedRing(kernel, config.kv_ring_words, config.ring_reads),
        }
        self.port = WritePort()
        self.waits: dict[Opcode, tuple[Stall, Ring] | None] = dict.fromkeys(Opcode)
        """Why a unit that holds an instruction does not move, for the deadlock report."""
        self.flights: dict[Opcode, deque[Flight]] = {opcode: deque() for opcode in Opcode}
        self.queues: dict[Opcode, deque[tuple[int, int]]] = {opcode: deque() for opcode in Opcode}
        """Index and dispatch cycle."""
        self.dispatched = 0
        self.full: Opcode | None = None
        """The full queue that dispatch waits for."""
        self.tokens: dict[tuple[Opcode, Opcode], deque[int]] = {
            (giver, taker): deque() for giver in Opcode for taker in Opcode
        }
        """From giver to taker: the cycles from which they can be used."""
        self.retired = Signal(kernel)
        self.finished = False
        self._act = act
        self._arrived = {opcode: Signal(kernel) for opcode in Opcode}
        self._left = {opcode: Signal(kernel) for opcode in Opcode}
        self._given = {opcode: Signal(kernel) for opcode in Opcode}
        self._landed = {opcode: Signal(kernel) for opcode in Opcode}
        self._last_end: dict[Opcode, int] = dict.fromkeys(Opcode, 0)
        self._last_retirement = 0
        self._changed: dict[Opcode, int] = dict.fromkeys(Opcode, 0)
        kernel.schedule(0, self._fetch())

    # -- fetch and dispatch -------------------------------------------------------------------------------------

    def _fetch(self) -> Process:
        """Read instructions ahead and dispatch them in order."""
        # Instructions have a memory of their own, without rows and refreshes.
        calm = replace(self.config.memory, row_miss_cycles=0, turnaround_cycles=0, refresh_cycles=0)
        port = Channel(calm, _INSTRUCTION_PORT_BYTES)
        latency = self.config.memory.read_latency_cycles + TIMING.fetch_dispatch
        count = len(self.stream.instructions)
        arrivals: deque[int] = deque()
        asked, cycle = 0, TIMING.fetch_start
        for index, instruction in enumerate(self.stream.instructions):
            request = self.kernel.now if not index else self.kernel.now + 1
            while asked < min(count, index + TIMING.fetch_ahead):
                cycle = max(cycle + 1, request)
                address = asked * INSTRUCTION_BYTES
                moved = port.serve(cycle + TIMING.fetch_request, address, TIMING.fetch_beats)
                arrivals.append(moved[-1].last + latency)
                asked += 1
            yield max(arrivals.popleft(), self.kernel.now + (index > 0))
            queue = self.queues[instruction.opcode]
            while len(queue) == self.config.queue_depth:
                self.full = instruction.opcode
                yield self._left[instruction.opcode]
                yield self.kernel.now + 1
            self.full = None
            self._occupancy(instruction.opcode)
            queue.append((index, self.kernel.now))
            self.dispatched = index + 1
            self._arrived[instruction.opcode].notify()

    def _occupancy(self, opcode: Opcode) -> None:
        """Count the entries of the time since the last change."""
        passed = self.kernel.now - self._changed[opcode]
        self.result.occupancy[self.number, opcode] += passed * len(self.queues[opcode])
        self._changed[opcode] = self.kernel.now

    # -- issue --------------------------------------------------------------------------------------------------

    def issue(self, opcode: Opcode, in_flight: int = 1) -> Generator[int | Signal, None, Flight]:
        """Wait for the next instruction of a class, its tokens and room in the unit, and start it."""
        queue, kernel = self.queues[opcode], self.kernel
        while not queue:
            yield self._arrived[opcode]
        index, dispatched = queue[0]
        instruction = self.stream.instructions[index]
        while len(self.flights[opcode]) >= in_flight:
            yield self._landed[opcode]
        ready = max(dispatched + TIMING.queue, kernel.now)
        yield ready
        for giver in self.missing(instruction):
            tokens = self.tokens[giver, opcode]
            while not tokens:
                yield self._given[opcode]
        cycle = kernel.now
        for giver in Opcode:
            if instruction.wait >> giver & 1:
                cycle = max(cycle, self.tokens[giver, opcode].popleft())
        yield cycle
        self.stall(opcode, Stall.TOKEN, kernel.now - ready)
        self._occupancy(opcode)
        queue.popleft()
        self._left[opcode].notify()
        flight = Flight(index, instruction, kernel.now)
        self.flights[opcode].append(flight)
        if opcode == Opcode.LD and self._act:
            flight.digest = self._act(self.number, index)
        return flight

    def missing(self, instruction: Instruction) -> list[Opcode]:
        """Classes whose token `instruction` waits for and that have given none."""
        wanted = [giver for giver in Opcode if instruction.wait >> giver & 1]
        return [giver for giver in wanted if not self.tokens[giver, instruction.opcode]]

    # -- retirement ---------------------------------------------------------------------------------------------

    def retire(self, flight: Flight) -> None:
        """End an instruction in this cycle."""
        opcode, now = flight.instruction.opcode, self.kernel.now
        self.flights[opcode].popleft()
        if self._act and opcode != Opcode.LD:
            flight.digest = self._act(self.number, flight.index)
        for taker in Opcode:
            if flight.instruction.release >> taker & 1:
                tokens = self.tokens[opcode, taker]
                if len(tokens) == _TOKENS:
                    raise ProgramError(
                        f"core {self.number}: {opcode.name} gives {taker.name} token {_TOKENS + 1} at cycle {now};"
                        f" a counter holds {_TOKENS}; in: {flight.instruction.assembly()}"
                    )
                tokens.append(now + TIMING.token)
                self._given[taker].notify()
        if now - self._last_retirement > self.config.watchdog_cycles:
            raise ProgramError(
                f"core {self.number}: nothing retired between cycles {self._last_retirement} and {now}, more than"
                f" watchdog_cycles {self.config.watchdog_cycles}; then: {flight.instruction.assembly()}"
            )
        self._last_retirement = now
        node = self.stream.nodes[flight.index]
        self.result.busy[self.number, opcode] += now - max(flight.start, self._last_end[opcode])
        self._last_end[opcode] = now
        self.result.retirements.append(
            Retirement(self.number, opcode, flight.index, flight.digest, flight.start, now, node)
        )
        self._landed[opcode].notify()
        self.retired.notify()

    def stall(self, opcode: Opcode, cause: Stall, cycles: float) -> None:
        """Count cycles in which a unit did not move."""
        if cycles > 0:
            self.result.stalls[self.number, opcode, cause] += int(cycles)

    # -- memory traffic -----------------------------------------------------------------------------------------

    def count_read(self, stripes: int) -> None:
        """Count stripes that LD reads, from all channels alike."""
        for channel in range(self.config.channels_per_core):
            self.result.traffic[self.number, channel].read_bytes += stripes * self.config.channel_bytes

    def count_written(self, written: int) -> None:
        """Count bytes that ST writes; stores spread over the channels, and count as if evenly."""
        for channel in range(self.config.channels_per_core):
            self.result.traffic[self.number, channel].written_bytes += written // self.config.channels_per_core

    def report(self) -> None:
        """Put what the channels saw into the result."""
        for channel in range(self.config.channels_per_core):
            traffic = self.result.traffic[self.number, channel]
            traffic.busy_cycles = self.channel.busy_cycles
            traffic.row_misses = self.channel.row_misses
            traffic.turnarounds = self.channel.turnarounds

    @property
    def others_idle(self) -> bool:
        """Whether every class but SYS has nothing queued and nothing in flight."""
        return not any(self.queues[opcode] or self.flights[opcode] for opcode in Opcode if opcode != Opcode.SYS)
