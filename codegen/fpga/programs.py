"""All programs of an artifact: one for each size of step that fits, and for each span of positions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cosyn.accelerator_model.config import INSTRUCTION_BYTES
from cosyn.accelerator_model.isa import Load
from cosyn.codegen.fpga.compile_step import Checksums, CompiledStep, compile_step, with_checksum
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.parameters import MAX_TOKENS
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.fpga.search_pieces import best_pieces

ALIGNMENT = 4096
"""Programs start where no burst crosses a boundary."""

FLIGHTLLM_BYTES = 3_250_000_000
"""Instruction storage that FlightLLM publishes for its length-adaptive compilation (FPGA 2024)."""

WINDOW_BYTES = 1 << 28
"""Memory of a channel that the platform offers at least: an HBM pseudo-channel of 256 MiB. Programs have one a core."""


class StoredStep:
    """A compiled step as the bytes of its instructions: an artifact may have hundreds."""

    def __init__(self, step: CompiledStep) -> None:
        self.tokens, self.pieces, self.span = step.tokens, step.pieces, step.span
        self.vector_lines, self.activation_lines = step.vector_lines, step.activation_lines
        self.nodes = tuple(tuple(sys.intern(d.node) for d in drafts) for drafts in step.drafts)
        self._streams: list[bytes] = []
        self._loads: list[dict[int, Load]] = []
        for stream in step.program().cores:
            self._streams.append(stream.to_bytes())
            loads = {n: i for n, i in enumerate(stream.instructions) if isinstance(i, Load) and _is_constant(i)}
            self._loads.append(loads)

    @property
    def instructions(self) -> tuple[int, ...]:
        """How many each core has."""
        return tuple(len(nodes) for nodes in self.nodes)

    def same(self, other: StoredStep) -> bool:
        """Whether the two are one program."""
        return (self.tokens, self._streams, self.nodes) == (other.tokens, other._streams, other.nodes)

    def streams(self, checksums: Checksums | None = None) -> tuple[bytes, ...]:
        """Each core's instructions, with the checksums of their loads."""
        found = []
        for core, (stream, loads) in enumerate(zip(self._streams, self._loads, strict=True)):
            data = bytearray(stream)
            for number, load in loads.items():
                start = INSTRUCTION_BYTES * number
                data[start : start + INSTRUCTION_BYTES] = with_checksum(load, core, checksums).encode()
            found.append(bytes(data))
        return tuple(found)


def _is_constant(load: Load) -> bool:
    return not (load.length_reg or load.address_reg)


@dataclass(frozen=True)
class StepProgram:
    """A program, and the spans of the plan whose steps it does."""

    name: str
    step: StoredStep
    spans: tuple[int, ...]


@dataclass(frozen=True)
class StepSet:
    """Programs in order of tokens and of positions, and why the next larger step is not among them."""

    programs: tuple[StepProgram, ...]
    left_out: str | None

    @property
    def tokens(self) -> tuple[int, ...]:
        """The sizes of steps."""
        return tuple(dict.fromkeys(p.step.tokens for p in self.programs))

    def of(self, tokens: int) -> tuple[StepProgram, ...]:
        """The programs of one size."""
        return tuple(p for p in self.programs if p.step.tokens == tokens)

    def instructions(self, tokens: int) -> int:
        """Those of all cores, in all programs of one size."""
        return sum(sum(p.step.instructions) for p in self.of(tokens))

    @property
    def instruction_bytes(self) -> int:
        """Bytes of all programs of all cores."""
        return INSTRUCTION_BYTES * sum(self.instructions(tokens) for tokens in self.tokens)

    def addresses(self) -> tuple[tuple[int, ...], ...]:
        """Byte address of each program in each core's instruction memory."""
        found = []
        ends = [0] * len(self.programs[0].step.instructions)
        for program in self.programs:
            found.append(tuple(ends))
            ends = [end + aligned(count) for end, count in zip(ends, program.step.instructions, strict=True)]
        return tuple(found)


def aligned(instructions: int) -> int:
    """Bytes that a program takes of its core's memory."""
    return -(-INSTRUCTION_BYTES * instructions // ALIGNMENT) * ALIGNMENT


def compile_steps(layout: Layout, longest: int) -> StepSet:
    """Programs for 1, 2, 4, … tokens, up to `longest` or as far as they fit; FitError if one token does not.

    With a program for every power of two a prompt of any length is cut into whole steps. A step beyond the width at
    which arithmetic, not memory, is the limit gains little: `longest` is the caller's choice. Each program cuts its
    linears into the number of pieces that is fastest. With block masks there are programs for each span of positions
    that is as long as the step.
    """
    programs: list[StepProgram] = []
    left_out, used = None, 0
    for tokens in sizes(min(longest, MAX_TOKENS, max(span.length for span in layout.plan.spans))):
        try:
            found, used = _compile_size(layout, tokens, used)
        except FitError as error:
            if tokens == 1:
                raise
            left_out = str(error)
            break
        programs += found
    return StepSet(tuple(programs), left_out)


def _compile_size(layout: Layout, tokens: int, used: int) -> tuple[list[StepProgram], int]:
    """The programs of one size, and the bytes that a core needs for them and the `used` ones."""
    spans = layout.plan.spans
    numbers = [n for n, span in enumerate(spans) if span.length >= tokens]
    # What does not fit shows where most is read.
    widest = max(numbers, key=lambda n: _columns(layout, n))
    whole = compile_step(layout, tokens, span=widest)
    if len(numbers) > 1:
        _check_room(layout, whole, numbers, used)
    pieces = best_pieces(layout, tokens)
    found: list[tuple[StoredStep, list[int]]] = []
    for number in numbers:
        ready = pieces == 1 and number == widest
        step = StoredStep(whole if ready else compile_step(layout, tokens, pieces, span=number))
        same = next((mine for other, mine in found if other.same(step)), None)
        if same is not None:
            same.append(number)
            continue
        found.append((step, [number]))
        used += max(aligned(count) for count in step.instructions)
    return [StepProgram(_name(layout, tokens, mine), step, tuple(mine)) for step, mine in found], used


def _columns(layout: Layout, span: int) -> int:
    """Columns of all attentions that a span may have."""
    last = layout.plan.spans[span].last
    return sum(a.mask.spans[span].most if a.mask is not None else last for a in layout.plan.attentions.values())


def _check_room(layout: Layout, step: CompiledStep, numbers: Sequence[int], used: int) -> None:
    """Whether programs like `step` for all these spans fit the memory that a core has for programs."""
    size, spans = max(aligned(count) for count in step.instructions), layout.plan.spans
    if used + size * len(numbers) <= WINDOW_BYTES:
        return
    most = (WINDOW_BYTES - used) // size
    fits = f", or compile for {spans[numbers[most]].first} positions" if most > 0 else ""
    raise FitError(
        f"steps of {step.tokens} tokens have {len(numbers)} programs, one for each span of positions in which the block"
        f" mask's rows agree, of {size:,} bytes on a core: {used + size * len(numbers):,} bytes in all, and there is"
        f" room for {WINDOW_BYTES:,}; make blocks {-(-len(numbers) // max(1, most))} times as long{fits}"
    )


def _name(layout: Layout, tokens: int, spans: Sequence[int]) -> str:
    """The program's file, without its ending."""
    return f"step_{tokens}" + (f"_from_{layout.plan.spans[spans[0]].first}" if len(layout.plan.spans) > 1 else "")


def sizes(longest: int) -> Iterator[int]:
    """Powers of two up to `longest`."""
    tokens = 1
    while tokens <= longest:
        yield tokens
        tokens *= 2
