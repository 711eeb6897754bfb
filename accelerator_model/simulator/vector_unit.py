"""MISC in time: a pipeline that reads a line of each operand, in turn, through one port."""

from __future__ import annotations

from cosyn.accelerator_model.isa import Misc, Opcode, Operand, Output, Reduction
from cosyn.accelerator_model.isa.misc_meaning import shape
from cosyn.accelerator_model.simulator.core import Flight, TimedCore
from cosyn.accelerator_model.simulator.kernel import Process
from cosyn.accelerator_model.simulator.timing import TIMING

_WRITE = {
    Output.NONE: TIMING.misc_nothing,
    Output.VECTOR: TIMING.misc_vector,
    Output.ACTIVATION: TIMING.misc_activation,
}


class VectorUnit:
    """The special-function unit."""

    def __init__(self, core: TimedCore) -> None:
        self._core = core
        core.kernel.schedule(0, self._serve())

    def _serve(self) -> Process:
        core = self._core
        while True:
            flight = yield from core.issue(Opcode.MISC)
            yield flight.start + self._cycles(flight)
            core.retire(flight)
            yield core.kernel.now

    def _cycles(self, flight: Flight) -> int:
        """From issue to retirement."""
        instruction, config = flight.instruction, self._core.config
        assert isinstance(instruction, Misc)
        sizes = shape(instruction, config, self._core.registers)
        reduces, output = instruction.reduction != Reduction.NONE, Output(instruction.output)
        kinds = [instruction.b_kind, instruction.c_kind, instruction.d_kind]
        words, vectors = kinds.count(Operand.ROW), 1 + kinds.count(Operand.VECTOR)
        # A row that takes a cycle a line and is written whole leaves one for the write of its reduction.
        gap = int(reduces and output == Output.VECTOR and not words and vectors == 1)
        row = gap + words + vectors * sizes.lines
        period = max(row, config.lanes) if reduces else row
        last = TIMING.misc_start - 1 + (sizes.rows - 1) * period + row + TIMING.misc_lanes
        if output == Output.VECTOR:
            # Reductions are written in between; they are too few to be counted.
            first = flight.start + TIMING.misc_start - 1 + gap + words + vectors + TIMING.misc_lanes + TIMING.misc_write
            for number in range(sizes.rows):
                self._core.port.mark(first + number * period, sizes.lines, vectors)
        if not reduces:
            return last + _WRITE[output]
        if instruction.reduction in (Reduction.SUM, Reduction.SUM_SQUARES):
            result = TIMING.misc_sum + config.lanes + 4 * (config.lanes.bit_length() - 1)
        else:
            result = TIMING.misc_maximum + config.lanes
        return last + max(_WRITE[output], result + TIMING.misc_reduction)
