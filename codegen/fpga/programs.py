"""All programs of an artifact: one for each size of step that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cosyn.accelerator_model.config import INSTRUCTION_BYTES
from cosyn.codegen.fpga.compile_step import CompiledStep, compile_step
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.parameters import MAX_TOKENS
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.fpga.search_pieces import best_pieces

ALIGNMENT = 4096
"""Programs start where no burst crosses a boundary."""

FLIGHTLLM_BYTES = 3_250_000_000
"""Instruction storage that FlightLLM publishes for its length-adaptive compilation (FPGA 2024)."""


@dataclass(frozen=True)
class StepSet:
    """Programs by tokens, and why the next larger one is not among them."""

    steps: Mapping[int, CompiledStep]
    left_out: str | None

    @property
    def instruction_bytes(self) -> int:
        """Bytes of all programs of all cores."""
        return sum(INSTRUCTION_BYTES * len(d) for step in self.steps.values() for d in step.drafts)

    def addresses(self) -> Mapping[int, tuple[int, ...]]:
        """Tokens → byte address of the program in each core's instruction memory."""
        found: dict[int, tuple[int, ...]] = {}
        cores = len(next(iter(self.steps.values())).drafts)
        ends = [0] * cores
        for tokens, step in self.steps.items():
            found[tokens] = tuple(ends)
            sizes = [INSTRUCTION_BYTES * len(d) for d in step.drafts]
            ends = [-(-(end + size) // ALIGNMENT) * ALIGNMENT for end, size in zip(ends, sizes, strict=True)]
        return found


def compile_steps(layout: Layout, longest: int) -> StepSet:
    """Programs for 1, 2, 4, … tokens, up to `longest` or as far as they fit; FitError if one token does not.

    With a program for every power of two a prompt of any length is cut into whole steps. A step beyond the width at
    which arithmetic, not memory, is the limit gains little: `longest` is the caller's choice. Each program cuts its
    linears into the number of pieces that is fastest.
    """
    steps: dict[int, CompiledStep] = {}
    left_out = None
    for tokens in sizes(min(longest, MAX_TOKENS)):
        try:
            whole = compile_step(layout, tokens)
        except FitError as error:
            if tokens == 1:
                raise
            left_out = str(error)
            break
        pieces = best_pieces(layout, tokens)
        steps[tokens] = whole if pieces == 1 else compile_step(layout, tokens, pieces)
    return StepSet(steps, left_out)


def sizes(longest: int) -> Iterator[int]:
    """Powers of two up to `longest`."""
    tokens = 1
    while tokens <= longest:
        yield tokens
        tokens *= 2
