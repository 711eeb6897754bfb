"""Where two runs of an instruction first differ: the element, both values, and a waveform around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, Load, Opcode, Registers, Store
from cosyn.accelerator_model.isa.ld_meaning import shape as load_shape
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.operands import run_lines
from cosyn.accelerator_model.isa.st_meaning import addresses
from cosyn.accelerator_model.program import Program
from cosyn.accelerator_model.simulator.functional import FunctionalRun
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.rtl_testbench.system.places import Place, first_stored_difference, first_written_difference
from cosyn.rtl_testbench.system.replay import Replay, Step, Window, replay

Bytes = npt.NDArray[np.uint8]

_MARGIN = 200
"""Cycles before and after an instruction that its waveform shows."""
_LONGEST = 20_000
"""Of a longer instruction it shows the end."""
_HANG = 2_000
"""Cycles shown before and after the last retirement where the instruction never retired."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first element, in order of its address, that an instruction read or wrote differently."""

    text: str
    waves: Path | None
    """Waveform of the instruction; None where none was asked for."""
    window: Window | None
    """The cycles that it shows."""


def explain(
    config: AcceleratorConfig,
    program: Program,
    registers: Registers,
    memories: Sequence[Bytes],
    core: int,
    opcode: Opcode,
    index: int,
    *,
    waves: bool = True,
    folders: Sequence[Path] = (),
    rtl_program: Program | None = None,
    rtl_memories: Sequence[Bytes] | None = None,
) -> Difference:
    """Run the step again, on the RTL with every write recorded and in the simulator, and compare that instruction.

    `memories` are the cores' memories as they were before the step; `rtl_program` and `rtl_memories` are what the RTL
    runs and holds, if not the same. With `waves` the RTL runs twice: to find the cycles, and to record them.
    """
    expected = _expected(config, program, registers, memories, core, index)
    rtl_memories = memories if rtl_memories is None else rtl_memories
    step = Step(config, rtl_program or program, registers, rtl_memories, folders)
    run = replay(step, waves=waves)
    same_class = [i for i, item in enumerate(program.cores[core].instructions) if item.opcode == opcode]
    order, ends = same_class.index(index), run.cycles(core, opcode)
    since = _began(run, core, opcode, ends[order]) if order < len(ends) else 0
    window = _window(run, since, ends[order] if order < len(ends) else None)
    instruction = program.cores[core].instructions[index]
    stores = isinstance(instruction, Store)
    # Memory as it is when the instruction has ended: a second run stops there.
    again = replay(step, window, waves=waves) if waves or stores else None
    text = _loaded(config, instruction, registers, memories[core], rtl_memories[core])
    if text is None and order >= len(ends):
        text = f"it never retired{'; ' * bool(run.failure)}{run.failure}"
    if text is None and stores and again is not None and expected.stored is not None:
        stripes, data = expected.stored
        text = first_stored_difference(stripes, data, again.memories[core][stripes])
    if text is None:
        found = run.written(core, opcode, since, ends[order])
        # Written with the value that was there before is no change; but a place that should not change may have.
        extra = {place: expected.after(place) for place in found if place not in expected.written}
        text = first_written_difference(expected.written | extra, found)
    text = text or "the buffers hold the same values: the order of its writes or their number differs"
    if again is None or again.waves is None:
        return Difference(text, None, None)
    return Difference(text, again.waves, Window(window.first, min(window.last, again.ended)))


def _began(run: Replay, core: int, opcode: Opcode, end: int) -> int:
    """When the unit of that class ended what it did before; MM and MV share theirs."""
    matrix = (Opcode.MM, Opcode.MV)
    ends = [cycle for unit in (matrix if opcode in matrix else (opcode,)) for cycle in run.cycles(core, unit)]
    return max((cycle for cycle in ends if cycle < end), default=0)


def _window(run: Replay, since: int, until: int | None) -> Window:
    if until is None:
        last = max((item.cycle for item in run.retirements), default=0)
        return Window(max(0, last - _HANG), last + _HANG)
    return Window(max(0, max(since, until - _LONGEST) - _MARGIN), until + _MARGIN)


def _loaded(
    config: AcceleratorConfig,
    instruction: Instruction,
    registers: Registers,
    expected: Bytes,
    found: Bytes,
) -> str | None:
    """Where the memory that a load reads differs already."""
    if not isinstance(instruction, Load):
        return None
    runs = load_shape(instruction, register_file(registers))
    stripes = run_lines(runs.address, runs.rows, runs.row_stride, runs.length).reshape(-1)
    return first_stored_difference(stripes, expected[stripes], found[stripes])


def _expected(
    config: AcceleratorConfig,
    program: Program,
    registers: Registers,
    memories: Sequence[Bytes],
    core: int,
    index: int,
) -> _Recording:
    """The simulator's run, with what that instruction writes."""
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
        self._wanted, self._core, self._state = wanted, core, states[core]
        self.written: dict[Place, int] = {}
        self.stored: tuple[npt.NDArray[np.intp], Bytes] | None = None
        """Stripes that it stored to, and what they hold then."""

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
            self.written[Place("vector", 0, line, lane)] = int(state.vector[line, lane])
        changed = (state.activation != activation) | (state.activation_known & ~activation_known)
        for bank, line, byte in np.argwhere(changed).tolist():
            self.written[Place("activation", bank, line, byte)] = int(state.activation[bank, line, byte])
        if isinstance(instruction, Store):
            stripes = np.unique(addresses(instruction, state.config, state.registers))
            self.stored = stripes, state.memory[stripes].copy()
        self._after = state.vector.copy(), state.activation.copy()

    def after(self, place: Place) -> int:
        """What the buffer holds at `place` when the instruction has retired."""
        vector, activation = self._after
        if place.buffer == "vector":
            return int(vector[place.line, place.part])
        return int(activation[place.bank, place.line, place.part])
