"""Whether tokens order every two instructions that touch the same place, at least one of them writing.

Each class retires in order, so what an instruction may rely on is six numbers: how many instructions of each class are
sure to have retired before it starts. Tokens carry them from giver to taker. An access is safe if all conflicting
earlier ones are among those.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Instruction, Opcode, System, SystemOperation
from cosyn.accelerator_model.isa.accesses import Access, Space, accesses, exchanged_words
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.accelerator_model.simulator.functional import FunctionalRun, check_program, instruction_text
from cosyn.accelerator_model.simulator.ghost import GhostState, pass_words

_CLASSES = len(Opcode)
_Clock = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Race:
    """Two instructions of a core that touch the same place in an order that nothing fixes."""

    core: int
    space: Space
    place: int
    earlier: str
    later: str

    def __str__(self) -> str:
        unit = {Space.VECTOR: "vector word", Space.ACTIVATION: "activation line", Space.MEMORY: "stripe"}[self.space]
        return (
            f"core {self.core}: {unit} {self.place} is touched by {self.earlier}"
            f" and by {self.later}, with no token between them"
        )


class _History:
    """The last write of every place of one memory, and the last read by each class."""

    def __init__(self, size: int) -> None:
        self.writer = np.zeros(size, np.int8)
        self.written = np.full(size, -1, np.int32)
        self.read = np.full((_CLASSES, size), -1, np.int32)

    def conflict(self, access: Access, opcode: Opcode, clock: _Clock) -> tuple[int, Opcode, int] | None:
        """A place, and class and number of an earlier access, that `clock` does not cover."""
        places = access.places
        writer, written = self.writer[places], self.written[places]
        unsafe = (written >= clock[writer]) & (writer != opcode)
        if unsafe.any():
            first = int(np.argmax(unsafe))
            return int(places[first]), Opcode(int(writer[first])), int(written[first])
        if access.write:
            for reader in Opcode:
                read = self.read[reader, places]
                if reader != opcode and (read >= clock[reader]).any():
                    first = int(np.argmax(read >= clock[reader]))
                    return int(places[first]), reader, int(read[first])
        return None

    def note(self, access: Access, opcode: Opcode, number: int) -> None:
        """Remember an access."""
        if access.write:
            self.writer[access.places], self.written[access.places] = opcode, number
        else:
            self.read[opcode, access.places] = number


class _Watch:
    """Clocks and histories of one core."""

    def __init__(self, config: AcceleratorConfig, stream: CoreProgram, stripes: int) -> None:
        self.stream = stream
        sizes = {
            Space.VECTOR: config.vector_lines * config.lanes,
            Space.ACTIVATION: config.token_group * config.activation_lines,
            Space.MEMORY: stripes,
        }
        self.history = {space: _History(size) for space, size in sizes.items()}
        self.clocks: dict[Opcode, _Clock] = {opcode: np.zeros(_CLASSES, np.int32) for opcode in Opcode}
        self.tokens: dict[tuple[Opcode, Opcode], deque[_Clock]] = defaultdict(deque)
        self.indices: dict[Opcode, list[int]] = {opcode: [] for opcode in Opcode}

    def start(self, instruction: Instruction, index: int) -> int:
        """Take the tokens; the number of the instruction in its class."""
        opcode = instruction.opcode
        clock = self.clocks[opcode]
        for giver in Opcode:
            if instruction.wait >> giver & 1:
                np.maximum(clock, self.tokens[giver, opcode].popleft(), out=clock)
        self.indices[opcode].append(index)
        return len(self.indices[opcode]) - 1

    def end(self, instruction: Instruction, number: int) -> None:
        """Give the tokens."""
        opcode = instruction.opcode
        given = self.clocks[opcode].copy()
        given[opcode] = number + 1
        for taker in Opcode:
            if instruction.release >> taker & 1:
                self.tokens[opcode, taker].append(given)


class _RaceRun(FunctionalRun):
    """Goes through a program in an order that it allows, and looks at places instead of values."""

    def __init__(
        self, config: AcceleratorConfig, program: Program, registers: Sequence[int], stripes: Sequence[int]
    ) -> None:
        ghosts = [GhostState(config, tuple(registers)) for _ in program.cores]
        super().__init__(config, program, ghosts)
        self.races: list[Race] = []
        self._registers = registers
        self._watches = [_Watch(config, *pair) for pair in zip(program.cores, stripes, strict=True)]

    def _act(self, core: int, instruction: Instruction) -> int:
        pass_words(instruction, self._config, self._states[core])
        return 0

    def _exchange(self, here: Sequence[System]) -> None:
        return

    def _retire(self, core: int, instruction: Instruction, digest: int) -> None:
        watch = self._watches[core]
        number = watch.start(instruction, self._queues[core].waiting[instruction.opcode][-1])
        self._check(core, instruction, number)
        watch.end(instruction, number)
        super()._retire(core, instruction, digest)

    def _check(self, core: int, instruction: Instruction, number: int) -> None:
        watch, opcode = self._watches[core], instruction.opcode
        touched = list(accesses(instruction, self._config, self._registers))
        if isinstance(instruction, System) and instruction.operation == SystemOperation.EXCHANGE:
            theirs = [item for other, item in enumerate(self._here) if other != core]
            words = [exchanged_words(item, self._config) for item in theirs]
            touched += [Access(Space.VECTOR, True, part) for part in words]
        for access in touched:
            history = watch.history[access.space]
            found = history.conflict(access, opcode, watch.clocks[opcode])
            if found is not None:
                place, other, earlier = found
                pair = sorted([(watch.indices[other][earlier], other), (watch.indices[opcode][number], opcode)])
                first, second = (f"{item.name} {instruction_text(watch.stream, index)}" for index, item in pair)
                self.races.append(Race(core, access.space, place, first, second))
        for access in touched:
            watch.history[access.space].note(access, opcode, number)


def find_races(
    config: AcceleratorConfig, program: Program, registers: Sequence[int], stripes: Sequence[int]
) -> list[Race]:
    """Every access that tokens do not order behind an earlier one; `registers` from `register_file`.

    `stripes` is the size of each core's memory. ProgramError for illegal programs, DeadlockError for those that stop.
    """
    check_program(config, program, registers, stripes)
    run = _RaceRun(config, program, registers, stripes)
    run.run()
    return run.races
