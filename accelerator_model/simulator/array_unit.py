"""MM and MV in time: one array takes words from the rings tile by tile; a drain scales sums behind it."""

from __future__ import annotations

import math

from cosyn.accelerator_model.isa import MatrixInstruction, Opcode, Ring
from cosyn.accelerator_model.isa.matrix_meaning import MatrixShape, shape
from cosyn.accelerator_model.simulator.core import Flight, Steps, TimedCore
from cosyn.accelerator_model.simulator.dequantizer import PassTime, pass_time
from cosyn.accelerator_model.simulator.drain import Drain, FinishedPass
from cosyn.accelerator_model.simulator.kernel import Process, Signal
from cosyn.accelerator_model.simulator.results import Stall
from cosyn.accelerator_model.simulator.timing import TIMING

_CHUNK_WORDS = 32
"""Words after which places in the ring are given back; a ring is much deeper."""

_ROUNDING = 1e-6
"""Fractions of a cycle add up to whole ones only up to this."""


class ArrayUnit:
    """The matrix engine, which one instruction of either class has at a time."""

    def __init__(self, core: TimedCore) -> None:
        self._core = core
        self._free = Signal(core.kernel)
        self._taken = False
        self._drain = Drain(core)
        core.kernel.schedule(0, self._serve(Opcode.MM))
        core.kernel.schedule(0, self._serve(Opcode.MV))

    def _serve(self, opcode: Opcode) -> Process:
        core = self._core
        while True:
            flight = yield from core.issue(opcode)
            while self._taken:
                yield self._free
            self._taken = True
            flight.start = core.kernel.now
            end = yield from self._run(flight)
            yield end
            core.retire(flight)
            yield core.kernel.now + 1
            self._taken = False
            self._free.notify()
            yield core.kernel.now

    def _run(self, flight: Flight) -> Steps:
        """All tiles; the cycle of retirement."""
        core, config = self._core, self._core.config
        instruction = flight.instruction
        assert isinstance(instruction, MatrixInstruction)
        sizes = shape(instruction, config, core.registers)
        group = config.token_group if instruction.opcode == Opcode.MM else 1
        time = pass_time(sizes, instruction.opcode == Opcode.MM, config.scale_groups_per_word)
        cycle = float(core.kernel.now + TIMING.array_start)
        drain, passes = self._drain, 0
        drain.reads.clear()
        for tile in range(sizes.tiles):
            for first in range(0, sizes.rows, group):
                rows = min(group, sizes.rows - first)
                begin = tile == 0 and first == 0
                last = first + rows >= sizes.rows
                cycle = yield from self._pass(instruction, sizes, cycle, time, begin, first == 0, last)
                if passes >= TIMING.drain_passes:
                    while not drain.reads:
                        yield drain.emptied
                    wait = drain.reads.popleft() + TIMING.drain_free - (cycle + TIMING.drain_reserve)
                    core.stall(instruction.opcode, Stall.DRAIN, wait)
                    cycle += max(wait, 0)
                passes += 1
                ready = math.ceil(cycle - _ROUNDING) + TIMING.array_pipeline
                drain.put(FinishedPass(ready, rows, bool(instruction.token_scaled), instruction.opcode))
        while not drain.empty:
            yield drain.emptied
        return drain.written + TIMING.matrix_retire

    def _pass(
        self,
        instruction: MatrixInstruction,
        sizes: MatrixShape,
        cycle: float,
        time: PassTime,
        begin: bool,
        read: bool,
        free: bool,
    ) -> Steps:
        """One token group over one tile; the cycle after its last word."""
        core, opcode = self._core, instruction.opcode
        ring = core.rings[Ring(instruction.ring)]
        length = time.cycles
        gap = length / sizes.words
        left = sizes.words
        if begin:
            cycle += time.lead
        if not read:
            while free and left:
                done = min(left, _CHUNK_WORDS)
                left -= done
                yield int(cycle + (sizes.words - left) * gap)
                ring.release(done)
            return cycle + length  # type: ignore[return-value]  # a fraction of a cycle is kept within an instruction
        while left:
            done, after = ring.read(min(left, _CHUNK_WORDS), cycle, gap, TIMING.ring)
            if not done:
                core.waits[opcode] = (Stall.RING_EMPTY, Ring(instruction.ring))
                yield ring.filled
                core.waits[opcode] = None
                continue
            core.stall(opcode, Stall.RING_EMPTY, after - cycle - done * gap)
            cycle = after
            left -= done
            yield int(cycle)
            if free:
                ring.release(done)
        return cycle  # type: ignore[return-value]  # a fraction of a cycle is kept within an instruction
