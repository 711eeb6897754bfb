"""LD in time: read requests run ahead of the data; stripes go to a ring or, behind a FIFO, to the vector buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Load, LoadTarget, Opcode, Ring
from cosyn.accelerator_model.isa.ld_meaning import LoadShape, shape
from cosyn.accelerator_model.simulator.core import Flight, Steps, TimedCore
from cosyn.accelerator_model.simulator.dram import Beats
from cosyn.accelerator_model.simulator.kernel import Process, Signal
from cosyn.accelerator_model.simulator.results import Stall
from cosyn.accelerator_model.simulator.timing import TIMING


class _Arriving(NamedTuple):
    """A burst on its way: when its beats reach the load engine, and what it is part of."""

    beats: list[Beats]
    flight: Flight
    target: LoadTarget
    last: bool


def bursts(config: AcceleratorConfig, runs: LoadShape) -> Iterator[tuple[int, int]]:
    """First stripe and length of each burst: cut where an address is a multiple of burst_beats stripes."""
    for row in range(runs.rows):
        stripe = runs.address + row * runs.row_stride
        left = runs.length
        while left:
            count = min(left, config.burst_beats - stripe % config.burst_beats)
            yield stripe, count
            stripe += count
            left -= count


class LoadUnit:
    """Four processes: issue, requests, data, retirement."""

    def __init__(self, core: TimedCore) -> None:
        self._core = core
        self._arriving: deque[_Arriving] = deque()
        self._arrived = Signal(core.kernel)
        self._taken = Signal(core.kernel)
        self._space = core.config.outstanding_bursts * core.config.burst_beats
        self._takes: deque[tuple[int, int]] = deque()
        """Beats taken from the channels' FIFOs, one a cycle from a cycle on, not yet counted as space."""
        self._open: deque[int] = deque()
        """Cycles of the last beats of open bursts."""
        self._moved: deque[Flight] = deque()
        """Instructions whose data has come."""
        self._ends: dict[int, int] = {}
        """When they retire, once that is known."""
        self._ended = Signal(core.kernel)
        self._parameters_held = 0
        """Stripes in the parameter FIFO."""
        self._parameters: deque[tuple[int, Flight | None]] = deque()
        """When each stripe came to it, and the instruction that it ends, if any."""
        self._parameter_came = Signal(core.kernel)
        self._parameter_left = Signal(core.kernel)
        core.kernel.schedule(0, self._write_parameters())
        self._next: deque[Flight] = deque()
        self._passed = Signal(core.kernel)
        core.kernel.schedule(0, self._issue())
        core.kernel.schedule(0, self._request())
        core.kernel.schedule(0, self._receive())
        core.kernel.schedule(0, self._retire())

    def _issue(self) -> Process:
        """Take instructions, one more than are being requested."""
        while True:
            flight = yield from self._core.issue(Opcode.LD, TIMING.load_in_flight)
            self._next.append(flight)
            self._passed.notify()
            while self._next:
                yield self._passed
            yield self._core.kernel.now + 1

    def _request(self) -> Process:
        """Send the read addresses of every instruction."""
        core, config = self._core, self._core.config
        cycle = 0
        while True:
            while not self._next:
                yield self._passed
            flight = self._next.popleft()
            self._passed.notify()
            instruction = flight.instruction
            assert isinstance(instruction, Load)
            runs = shape(instruction, core.registers)
            target = LoadTarget(instruction.target)
            cycle = max(cycle, flight.start + TIMING.load_request)
            left = runs.stripes
            for stripe, count in bursts(config, runs):
                cycle = yield from self._room(count, cycle)
                served = core.channel.serve(cycle, stripe * config.channel_bytes, count)
                delay = config.memory.read_latency_cycles
                beats = [Beats(item.first + delay, item.length) for item in served]
                self._open.append(beats[-1].last)
                left -= count
                self._arriving.append(_Arriving(beats, flight, target, left == 0))
                self._arrived.notify()
                cycle += 1
            core.count_read(runs.stripes)

    def _room(self, count: int, cycle: int) -> Steps:
        """Wait until a burst may be requested; its cycle is the generator's value."""
        if len(self._open) == self._core.config.outstanding_bursts:
            cycle = max(cycle, self._open.popleft() + 2)
        while self._space < count:
            if not self._takes:
                yield self._taken
                continue
            first, beats = self._takes.popleft()
            wanted = count - self._space
            if beats > wanted:
                self._takes.appendleft((first + wanted, beats - wanted))
                beats = wanted
            self._space += beats
            cycle = max(cycle, first + beats - 1 + TIMING.load_space)
        self._space -= count
        yield cycle
        return max(cycle, self._core.kernel.now)

    def _receive(self) -> Process:
        """Take stripes from the channels and put them where they belong."""
        cursor = 0
        while True:
            while not self._arriving:
                yield self._arrived
            burst = self._arriving.popleft()
            for part in burst.beats:
                expected = max(cursor, burst.flight.start + TIMING.load_request)
                cursor = max(cursor, part.first + TIMING.load_stripe)
                self._core.stall(Opcode.LD, Stall.MEMORY, cursor - expected)
                yield cursor
                if burst.target == LoadTarget.VECTOR:
                    ends = burst.flight if burst.last and part is burst.beats[-1] else None
                    cursor = yield from self._keep(cursor, part.length, ends)
                else:
                    cursor = yield from self._stream(Ring(burst.target), cursor, part.length)
            if burst.last:
                self._moved.append(burst.flight)
                if burst.target != LoadTarget.VECTOR:
                    self._ends[burst.flight.index] = cursor - 1 + TIMING.load_retire
                self._ended.notify()

    def _stream(self, ring: Ring, cursor: int, count: int) -> Steps:
        """Push `count` stripes from `cursor` on, as far as there is room; the first free cycle after them."""
        core = self._core
        timed = core.rings[ring]
        while count:
            if not timed.free:
                core.waits[Opcode.LD] = (Stall.RING_FULL, ring)
                yield timed.freed
                core.waits[Opcode.LD] = None
                if timed.free:
                    now = max(cursor, core.kernel.now)
                    core.stall(Opcode.LD, Stall.RING_FULL, now - cursor)
                    cursor = now
                continue
            part = min(count, timed.free)
            timed.push(cursor, part)
            self._take(cursor, part)
            cursor += part
            count -= part
            yield cursor
        return cursor

    def _keep(self, cursor: int, count: int, ends: Flight | None) -> Steps:
        """Put `count` stripes, the last of which ends `ends`, into the parameter FIFO; the first free cycle then."""
        places = self._core.config.parameter_fifo_stripes + TIMING.load_parameter_places
        for number in range(count):
            while self._parameters_held == places:
                yield self._parameter_left
                now = max(cursor, self._core.kernel.now + 1)
                self._core.stall(Opcode.LD, Stall.PORT, now - cursor)
                cursor = now
            self._take(cursor, 1)
            self._parameters_held += 1
            self._parameters.append((cursor, ends if number == count - 1 else None))
            self._parameter_came.notify()
            cursor += 1
            yield cursor
        return cursor

    def _write_parameters(self) -> Process:
        """Write the lines of stripes that have come, where the port is free."""
        core = self._core
        free = 0
        while True:
            while not self._parameters:
                yield self._parameter_came
            came, ends = self._parameters.popleft()
            free = max(free, came + TIMING.load_parameter)
            yield free
            for _ in range(core.config.stripe_lines):
                free = core.port.take(free) + 1
            yield free - 1
            self._parameters_held -= 1
            self._parameter_left.notify()
            if ends is not None:
                self._ends[ends.index] = free - 1 + TIMING.load_parameter_retire
                self._ended.notify()

    def _take(self, cycle: int, count: int) -> None:
        self._takes.append((cycle - 1, count))
        self._taken.notify()

    def _retire(self) -> Process:
        """Retire in order."""
        while True:
            while not self._moved or self._moved[0].index not in self._ends:
                yield self._ended
            flight = self._moved.popleft()
            yield self._ends.pop(flight.index)
            self._core.retire(flight)
            yield self._core.kernel.now + 1
