"""The functional machine: bit-exact results without time, in an order that tokens and rings allow."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import (
    Instruction,
    MatrixInstruction,
    Opcode,
    Ring,
    System,
    SystemOperation,
)
from cosyn.accelerator_model.isa import meaning as meanings
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.matrix_meaning import shape as matrix_shape
from cosyn.accelerator_model.isa.sys_meaning import exchange
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.accelerator_model.simulator.deadlock import Blocked, Place, deadlock
from cosyn.accelerator_model.simulator.ghost import GhostState
from cosyn.accelerator_model.simulator.meeting import check_meeting
from cosyn.accelerator_model.simulator.results import Retirement, RunResult

_EAGER = (Opcode.MISC, Opcode.MM, Opcode.MV, Opcode.ST)
"""Tried before LD, so that rings hold little at a time."""


def instruction_text(program: CoreProgram, index: int) -> str:
    """An instruction with its place and node."""
    node = program.nodes[index]
    return f"instruction {index}" + (f" ({node})" if node else "") + f": {program.instructions[index].assembly()}"


def located(core: int, index: int, program: CoreProgram, message: object) -> ProgramError:
    """`message` with the instruction that it is about."""
    instruction, node = program.instructions[index], program.nodes[index]
    where = f"core {core}, instruction {index}" + (f" ({node})" if node else "")
    return ProgramError(f"{where}: {message}; in: {instruction.assembly()}")


def check_program(
    config: AcceleratorConfig, program: Program, registers: Sequence[int], stripes: Sequence[int]
) -> None:
    """Refuse a program with an illegal instruction or core count; ProgramError names the first."""
    if len(program.cores) != config.cores:
        raise ProgramError(
            f"{config.name} has {config.cores} cores, the program is for {len(program.cores)}: compile it again"
        )
    for core, stream in enumerate(program.cores):
        for index, instruction in enumerate(stream.instructions):
            found = list(meanings.problems(instruction, config, registers, stripes[core]))
            if found:
                raise located(core, index, stream, "; ".join(found))
        ends = [
            index
            for index, item in enumerate(stream.instructions)
            if isinstance(item, System) and item.operation == SystemOperation.DONE
        ]
        if ends != [len(stream.instructions) - 1]:
            raise ProgramError(f"core {core}: the last instruction, and no other, must be SYS done; found it at {ends}")


class _Queues:
    """What one core still has to do, by class, and its tokens."""

    def __init__(self, stream: CoreProgram) -> None:
        self.stream = stream
        self.waiting: dict[Opcode, list[int]] = {opcode: [] for opcode in Opcode}
        for index, instruction in enumerate(stream.instructions):
            self.waiting[instruction.opcode].append(index)
        for queue in self.waiting.values():
            queue.reverse()
        self.tokens = {(giver, taker): 0 for giver in Opcode for taker in Opcode}

    def head(self, opcode: Opcode) -> Instruction | None:
        queue = self.waiting[opcode]
        return self.stream.instructions[queue[-1]] if queue else None

    def missing(self, instruction: Instruction) -> list[Opcode]:
        """Classes whose token has not come yet."""
        wanted = [giver for giver in Opcode if instruction.wait >> giver & 1]
        return [giver for giver in wanted if not self.tokens[giver, instruction.opcode]]

    def retire(self, instruction: Instruction) -> int:
        """Take its tokens, give its tokens; its index."""
        for opcode in Opcode:
            if instruction.wait >> opcode & 1:
                self.tokens[opcode, instruction.opcode] -= 1
            if instruction.release >> opcode & 1:
                self.tokens[instruction.opcode, opcode] += 1
        return self.waiting[instruction.opcode].pop()


class FunctionalRun:
    """One run of a program on the states of its cores."""

    def __init__(self, config: AcceleratorConfig, program: Program, states: Sequence[CoreState | GhostState]) -> None:
        self._config = config
        self._states = states
        self._queues = [_Queues(stream) for stream in program.cores]
        self._result = RunResult(peak_bytes_per_cycle=config.cores * config.stripe_bytes)
        self._here: Sequence[System] = ()
        """The instructions, one of each core, at which the cores last met."""

    def run(self) -> RunResult:
        """Execute everything; DeadlockError when nothing can go on."""
        while any(any(queues.waiting.values()) for queues in self._queues):
            moved = [self._advance(core) for core in range(self._config.cores)]
            if not any(moved) and not self._meet() and not any(map(self._load, range(self._config.cores))):
                when = f"after {len(self._result.retirements)} instructions"
                raise deadlock(self._blocked(), when)
        return self._result

    def _advance(self, core: int) -> bool:
        """Execute what can be on one core, but no LD and no meeting of cores; whether anything was."""
        queues, moved, again = self._queues[core], False, True
        while again:
            again = False
            for opcode in _EAGER:
                while (head := queues.head(opcode)) and not self._reasons(core, head):
                    self._execute(core, head)
                    again = True
            head = queues.head(Opcode.SYS)
            if isinstance(head, System) and not _meets(head) and not self._reasons(core, head):
                self._execute(core, head)
                again = True
            moved |= again
        return moved

    def _load(self, core: int) -> bool:
        """Execute one LD if its tokens are there."""
        head = self._queues[core].head(Opcode.LD)
        if head is None or self._reasons(core, head):
            return False
        self._execute(core, head)
        return True

    def _meet(self) -> bool:
        """Let all cores pass a barrier or an exchange when each has come to one."""
        heads = [queues.head(Opcode.SYS) for queues in self._queues]
        here = [head for head in heads if isinstance(head, System) and _meets(head)]
        ready = all(not queues.missing(head) for queues, head in zip(self._queues, here, strict=False))
        if len(here) < len(heads) or not ready:
            return False
        check_meeting(here)
        self._here = here
        if here[0].operation == SystemOperation.EXCHANGE:
            self._exchange(here)
        for core, head in enumerate(here):
            self._retire(core, head, 0)
        return True

    def _act(self, core: int, instruction: Instruction) -> int:
        """What the instruction does; its digest."""
        return meanings.execute(instruction, self._core_state(core))

    def _exchange(self, here: Sequence[System]) -> None:
        """What an EXCHANGE of all cores does."""
        exchange(here, [self._core_state(core) for core in range(len(here))])

    def _core_state(self, core: int) -> CoreState:
        state = self._states[core]
        if not isinstance(state, CoreState):
            raise TypeError("a ghost has no values")
        return state

    def _execute(self, core: int, instruction: Instruction) -> None:
        try:
            digest = self._act(core, instruction)
        except ProgramError as error:
            queues = self._queues[core]
            raise located(core, queues.waiting[instruction.opcode][-1], queues.stream, error) from error
        self._retire(core, instruction, digest)

    def _retire(self, core: int, instruction: Instruction, digest: int) -> None:
        queues = self._queues[core]
        index = queues.retire(instruction)
        now = len(self._result.retirements)
        node = queues.stream.nodes[index]
        self._result.retirements.append(Retirement(core, instruction.opcode, index, digest, now, now, node))

    def _reasons(self, core: int, instruction: Instruction) -> list[tuple[Place, str]]:
        """What keeps `instruction` from starting."""
        queues, state = self._queues[core], self._states[core]
        found: list[tuple[Place, str]] = [
            ((core, giver), f"a token from {giver.name}") for giver in queues.missing(instruction)
        ]
        if isinstance(instruction, MatrixInstruction):
            sizes = matrix_shape(instruction, self._config, state.registers)
            needed = sizes.tiles * sizes.words * self._config.ring_reads
            ring = Ring(instruction.ring)
            if state.rings[ring].stripes < needed:
                text = f"{needed} stripes from the {ring.name} ring, which holds {state.rings[ring].stripes}"
                found.append(((core, Opcode.LD), text))
        if isinstance(instruction, System) and instruction.operation == SystemOperation.DONE:
            others = [opcode for opcode in Opcode if opcode != Opcode.SYS and queues.waiting[opcode]]
            found += [((core, opcode), f"{opcode.name} to finish") for opcode in others]
        return found

    def _blocked(self) -> dict[Place, Blocked]:
        """Every queue that has not ended, and why."""
        blocked = {}
        for core, queues in enumerate(self._queues):
            for opcode in Opcode:
                head = queues.head(opcode)
                if head is None:
                    continue
                index = queues.waiting[opcode][-1]
                reasons = self._reasons(core, head)
                if isinstance(head, System) and _meets(head) and not reasons:
                    reasons = [
                        ((other, Opcode.SYS), f"core {other} to reach {SystemOperation(head.operation).name}")
                        for other, theirs in enumerate(self._queues)
                        if not isinstance(found := theirs.head(Opcode.SYS), System)
                        or not _meets(found)
                        or theirs.missing(found)
                    ]
                blocked[core, opcode] = Blocked(instruction_text(queues.stream, index), tuple(reasons))
        return blocked


def _meets(instruction: System) -> bool:
    return instruction.operation in (SystemOperation.BARRIER, SystemOperation.EXCHANGE)


__all__ = ["FunctionalRun", "check_program", "located"]
