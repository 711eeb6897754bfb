"""What SYS demands and does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.operands import out_of_range, run_lines
from cosyn.accelerator_model.isa.sys import System, SystemOperation


def problems(instruction: System, config: AcceleratorConfig, registers: Sequence[int], stripes: int) -> Iterator[str]:
    """What is not legal about it, a sentence each."""
    if instruction.operation != SystemOperation.EXCHANGE:
        return
    if instruction.rows * instruction.lines == 0:
        yield f"SYS exchanges nothing: rows {instruction.rows}, lines {instruction.lines}"
    yield from out_of_range(
        "SYS.base: the vector line",
        instruction.base,
        instruction.rows,
        instruction.row_stride,
        instruction.lines,
        config.vector_lines,
    )


def exchange(instructions: Sequence[System], states: Sequence[CoreState]) -> None:
    """Each core in turn sends its lines to every other core; `instructions` has one EXCHANGE of each."""
    for sender, instruction in enumerate(instructions):
        lines = run_lines(instruction.base, instruction.rows, instruction.row_stride, instruction.lines)
        sent = states[sender].read_lines(lines, "SYS.base")
        for receiver, state in enumerate(states):
            if receiver != sender:
                state.write_lines(lines, sent)
