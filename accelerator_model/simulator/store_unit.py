"""ST in time: stripes are put together one after another, bursts go out behind them, and all retires in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES, AcceleratorConfig
from cosyn.accelerator_model.isa import Opcode, Register, Store, StoreMode
from cosyn.accelerator_model.isa.st_meaning import addresses
from cosyn.accelerator_model.simulator.core import Flight, Steps, TimedCore
from cosyn.accelerator_model.simulator.kernel import Process, Signal
from cosyn.accelerator_model.simulator.timing import TIMING


class _Beat(NamedTuple):
    """A stripe that is ready `wait` cycles after the one before it; `last` ends a burst."""

    wait: int
    stripe: int
    last: bool


class _Burst(NamedTuple):
    """Stripes handed to the channels, the last of them complete in `cycle`."""

    cycle: int
    first: int
    length: int


class _End(NamedTuple):
    """No burst of `flight` comes after this; its last stripe was complete in `cycle`."""

    cycle: int
    flight: Flight


def written_bytes(config: AcceleratorConfig, instruction: Store) -> int:
    """Bytes whose strobes are set."""
    row = {
        StoreMode.LINES: instruction.length * config.stripe_bytes,
        StoreMode.KEY: instruction.length * config.chain_length,
        StoreMode.VALUE: instruction.length * config.tile_columns,
        StoreMode.SCALE: VECTOR_ELEMENT_BYTES,
    }
    return instruction.rows * row[StoreMode(instruction.mode)]


class StoreUnit:
    """Three processes: stripes of one instruction after another, their bursts, and retirement."""

    def __init__(self, core: TimedCore) -> None:
        self._core = core
        self._room = 2 * core.config.burst_beats
        """Beats that may wait for the channels."""
        self._held = 0
        """Beats that wait for a channel to serve them in a cycle that is not known yet."""
        self._served: deque[int] = deque()
        """Cycles in which beats are served, of those that may still take room."""
        self._handed: deque[_Burst | _End] = deque()
        self._given = Signal(core.kernel)
        self._moved = Signal(core.kernel)
        self._responses: deque[int] = deque()
        """Cycles of the responses of open bursts."""
        self._ends: deque[tuple[Flight, int]] = deque()
        """Instructions with all their responses, and when they can retire."""
        self._ended = Signal(core.kernel)
        core.kernel.schedule(0, self._collect())
        core.kernel.schedule(0, self._write())
        core.kernel.schedule(0, self._retire())

    def _collect(self) -> Process:
        """Put the stripes of every instruction together."""
        core, config = self._core, self._core.config
        while True:
            flight = yield from core.issue(Opcode.ST, TIMING.store_in_flight)
            instruction = flight.instruction
            assert isinstance(instruction, Store)
            cycle = flight.start + self._setup(instruction)
            first, length = 0, 0
            for beat in self._beats(instruction):
                cycle = yield from self._space(cycle + beat.wait)
                self._held += 1
                first = first if length else beat.stripe
                length += 1
                if beat.last:
                    yield cycle
                    self._hand(_Burst(cycle, first, length))
                    length = 0
            core.count_written(written_bytes(config, instruction))
            self._hand(_End(cycle, flight))
            yield cycle + TIMING.store_next

    def _space(self, cycle: int) -> Steps:
        """Wait until another beat may wait for the channels; its cycle is the generator's value."""
        while self._held + len(self._served) >= self._room:
            if self._served:
                cycle = max(cycle, self._served.popleft() + 1)
            else:
                yield self._moved
        return cycle

    def _hand(self, item: _Burst | _End) -> None:
        self._handed.append(item)
        self._given.notify()

    def _write(self) -> Process:
        """Send the bursts to the channels."""
        core, config = self._core, self._core.config
        free, response = 0, 0
        while True:
            while not self._handed:
                yield self._given
            item = self._handed.popleft()
            if isinstance(item, _End):
                end = max(response + TIMING.store_retire, item.cycle + TIMING.store_next + TIMING.store_retire - 1)
                self._ends.append((item.flight, end))
                self._ended.notify()
                continue
            arrival = max(free, item.cycle + TIMING.store_request)
            if len(self._responses) == config.outstanding_bursts:
                arrival = max(arrival, self._responses.popleft() + 2)
            yield arrival
            served = core.channel.serve(arrival, item.first * config.channel_bytes, item.length, write=True)
            free = arrival + 1
            self._held -= item.length
            self._served.extend(part.first + beat for part in served for beat in range(part.length))
            self._moved.notify()
            response = served[-1].last + config.memory.write_latency_cycles
            self._responses.append(response)

    def _retire(self) -> Process:
        """Retire in order."""
        while True:
            while not self._ends:
                yield self._ended
            flight, end = self._ends.popleft()
            yield end
            self._core.retire(flight)
            yield self._core.kernel.now + 1

    def _setup(self, instruction: Store) -> int:
        """From issue to the cycle in which the first row begins."""
        groups, tile = instruction.row // self._core.config.token_group, 0
        if instruction.mode == StoreMode.KEY:
            tile = int(self._core.registers[Register.KEY_TILE]).bit_length()
        shifts = max(groups, tile) if instruction.mode in (StoreMode.KEY, StoreMode.VALUE) else 0
        return TIMING.store_setup + shifts

    def _beats(self, instruction: Store) -> Iterator[_Beat]:
        """Every stripe that is written, in order."""
        config = self._core.config
        stripes = addresses(instruction, config, self._core.registers).tolist()
        if instruction.mode == StoreMode.SCALE:
            yield from self._scale_beats(instruction, stripes)
            return
        per_row = len(stripes) // instruction.rows
        for row in range(instruction.rows):
            part = stripes[row * per_row : (row + 1) * per_row]
            if instruction.mode == StoreMode.LINES:
                yield from self._line_beats(part)
            elif instruction.mode == StoreMode.KEY:
                yield from self._key_beats(part)
            else:
                yield from self._value_beats(part)

    def _line_beats(self, stripes: list[int]) -> Iterator[_Beat]:
        config = self._core.config
        wait = TIMING.store_row + config.stripe_lines + TIMING.store_vector - 1
        for index, stripe in enumerate(stripes):
            yield _Beat(wait, stripe, index == len(stripes) - 1 or (stripe + 1) % config.burst_beats == 0)
            wait = config.stripe_lines

    def _key_beats(self, stripes: list[int]) -> Iterator[_Beat]:
        steps = self._core.config.activation_line_bytes // self._core.config.chain_length
        for index, stripe in enumerate(stripes):
            fetch = TIMING.store_activation if index % steps == 0 else 0
            yield _Beat((TIMING.store_row if index == 0 else 0) + fetch + 1, stripe, True)

    def _value_beats(self, stripes: list[int]) -> Iterator[_Beat]:
        config = self._core.config
        granule = min(config.chain_length, config.lanes)
        in_line, in_tile = config.activation_line_bytes // granule, config.tile_columns // granule
        per_tile = config.macs // config.stripe_bytes
        slot = 0
        for tile in range(len(stripes) // per_tile):
            wait = TIMING.store_row if tile == 0 else 0
            for _ in range(in_tile):
                wait += TIMING.store_activation + 1 if slot % in_line == 0 else 1
                slot += 1
            part = stripes[tile * per_tile : (tile + 1) * per_tile]
            for index, stripe in enumerate(part):
                yield _Beat(wait + 1, stripe, index == per_tile - 1 or (stripe + 1) % config.burst_beats == 0)
                wait = 0

    def _scale_beats(self, instruction: Store, stripes: list[int]) -> Iterator[_Beat]:
        lanes = self._core.config.lanes
        for index, stripe in enumerate(stripes):
            fetch = TIMING.store_vector if index == 0 or (instruction.source + index) % lanes == 0 else 0
            yield _Beat((TIMING.store_row if index == 0 else 0) + fetch + 1, stripe, True)
