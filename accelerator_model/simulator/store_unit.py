"""ST in time: stripes are put together one after another and written as bursts; it retires with the last response."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES, AcceleratorConfig
from cosyn.accelerator_model.isa import Opcode, Register, Store, StoreMode
from cosyn.accelerator_model.isa.st_meaning import addresses
from cosyn.accelerator_model.simulator.core import Flight, Steps, TimedCore
from cosyn.accelerator_model.simulator.kernel import Process
from cosyn.accelerator_model.simulator.timing import TIMING


class _Beat(NamedTuple):
    """A stripe that is ready `wait` cycles after the one before it; `last` ends a burst."""

    wait: int
    stripe: int
    last: bool


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
    """The store engine."""

    def __init__(self, core: TimedCore) -> None:
        self._core = core
        self._room = 2 * core.config.burst_beats
        """Beats that may wait for the channels."""
        self._responses: deque[int] = deque()
        """Cycles of the responses of open bursts."""
        core.kernel.schedule(0, self._serve())

    def _serve(self) -> Process:
        core = self._core
        while True:
            flight = yield from core.issue(Opcode.ST)
            end = yield from self._run(flight)
            yield end
            core.retire(flight)
            yield core.kernel.now

    def _run(self, flight: Flight) -> Steps:
        """Write everything; the cycle of retirement."""
        core, config = self._core, self._core.config
        instruction = flight.instruction
        assert isinstance(instruction, Store)
        cycle, response = flight.start + self._setup(instruction), 0
        waiting: deque[int] = deque()
        first, length = 0, 0
        for beat in self._beats(instruction):
            cycle += beat.wait
            while len(waiting) >= self._room:
                cycle = max(cycle, waiting.popleft() + 1)
            first = first if length else beat.stripe
            length += 1
            if not beat.last:
                continue
            arrival = cycle + TIMING.store_request
            if len(self._responses) == config.outstanding_bursts:
                arrival = max(arrival, self._responses.popleft() + 2)
            yield arrival
            served = core.channel.serve(arrival, first * config.channel_bytes, length, write=True)
            waiting.extend(item.first + beat for item in served for beat in range(item.length))
            response = served[-1].last + config.memory.write_latency_cycles
            self._responses.append(response)
            length = 0
        core.count_written(written_bytes(config, instruction))
        return response + TIMING.store_retire

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
