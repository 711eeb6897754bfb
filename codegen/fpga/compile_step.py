"""The program of a step: every node of the graph, in order, on every core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    Output,
    Register,
    Store,
    StoreMode,
    System,
    SystemOperation,
)
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.accelerator_model.sequences import Pass, Passes, PerRow
from cosyn.codegen.fpga.allocate import allocate
from cosyn.codegen.fpga.bindings import Extent, Vectors
from cosyn.codegen.fpga.draft import At, Draft, Space, Span
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.loads import place_loads
from cosyn.codegen.fpga.lower_append import lower_append
from cosyn.codegen.fpga.lower_attend import lower_attend
from cosyn.codegen.fpga.lower_linear import lower_linear
from cosyn.codegen.fpga.lower_rope import lower_rope
from cosyn.codegen.fpga.lower_rows import lower_elementwise, lower_norm, lower_quantize, lower_take
from cosyn.codegen.fpga.parameters import Block
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.fpga.roles import ELEMENTWISE_BINARY, ELEMENTWISE_UNARY
from cosyn.codegen.fpga.step import Step, Stored
from cosyn.codegen.fpga.tokens import add_tokens
from cosyn.ir.node import Node

LOWERINGS: Mapping[str, Callable[[Step, Node], None]] = {
    "rms_norm": lower_norm,
    "layer_norm": lower_norm,
    "quantize_rows": lower_quantize,
    "linear_i8": lower_linear,
    "rope": lower_rope,
    "kv_append": lower_append,
    "attend": lower_attend,
    "take": lower_take,
    **dict.fromkeys((*ELEMENTWISE_UNARY, *ELEMENTWISE_BINARY), lower_elementwise),
}

Checksums = Callable[[int, Instruction], int | None]
"""Core and instruction → what a load of weights, parameters or penalties must add up to."""

_FILL: Passes = (Pass(role="fill the last stripe", a=PerRow("x"), output=Output.VECTOR, destination="y"),)


@dataclass(frozen=True)
class CompiledStep:
    """A program of `tokens` tokens, its drafts by core, and the lines that it needs of each buffer.

    `pieces`: of its linears over several rows. `span`: of the plan's, in which its positions lie.
    """

    tokens: int
    pieces: int
    drafts: tuple[tuple[Draft, ...], ...]
    vector_lines: int
    activation_lines: int
    span: int = 0

    @property
    def instructions(self) -> tuple[int, ...]:
        """How many each core has."""
        return tuple(len(drafts) for drafts in self.drafts)

    def program(self, checksums: Checksums | None = None) -> Program:
        """The instructions; `checksums` gives what a core's load of weights or parameters must add up to."""
        cores = []
        for core, drafts in enumerate(self.drafts):
            built: list[Instruction] = []
            for draft in drafts:
                built.append(with_checksum(draft.build(), core, checksums))
            cores.append(CoreProgram(tuple(built), tuple(d.node for d in drafts)))
        return Program(self.tokens, tuple(cores))


def with_checksum(instruction: Instruction, core: int, checksums: Checksums | None) -> Instruction:
    """The instruction, with what it must add up to if it loads a constant."""
    found = checksums(core, instruction) if checksums is not None else None
    if found is None or not isinstance(instruction, Load):
        return instruction
    return replace(instruction, checked=1, checksum=found)


def compile_step(layout: Layout, tokens: int, pieces: int = 1, last: str | None = None, span: int = 0) -> CompiledStep:
    """The step of `tokens` tokens in the plan's span `span`; FitError where it does not fit.

    Linears over several rows become `pieces` instructions each. Parameters are loaded a segment ahead of their use if
    there is room. A program that ends after the node `last` has no logits: it is for measuring.
    """
    refused: FitError | None = None
    for blocks_ahead in (1, 0):
        try:
            return _compile(layout, tokens, blocks_ahead, pieces, last, span)
        except FitError as error:
            refused = error
    assert refused is not None
    raise refused


def _compile(layout: Layout, tokens: int, blocks_ahead: int, pieces: int, last: str | None, span: int) -> CompiledStep:
    step = Step(layout, tokens, blocks_ahead, pieces, span)
    nodes = list(step.plan.roles.steps())
    if last is not None:
        nodes = nodes[: [node.name for node in nodes].index(last) + 1]
    blocks = layout.parameters.blocks[: layout.parameters.segment_of[nodes[-1].name] + 1]
    _begin(step, blocks[: 1 + blocks_ahead])
    segment = 0
    for number, node in enumerate(nodes):
        step.moment, step.node = number, node.name
        if layout.parameters.segment_of[node.name] != segment:
            segment += 1
            for block in blocks[segment + blocks_ahead :][:1]:
                step.load_block(block)
        LOWERINGS[node.op](step, node)
    step.moment, step.node = step.end, "end"
    if last is None:
        _store_logits(step)
    for core in range(step.config.cores):
        step.emit(core, Draft(System, {"operation": SystemOperation.DONE}, "end", step.moment))
    vector_lines = allocate(step.buffers, Space.VECTOR) + step.guard
    activation_lines = allocate(step.buffers, Space.ACTIVATION)
    _check_fit(step, vector_lines, activation_lines)
    drafts = []
    for core in range(step.config.cores):
        program = place_loads(step.config, step.drafts[core])
        add_tokens(program)
        drafts.append(tuple(program))
    return CompiledStep(tokens, pieces, tuple(drafts), vector_lines, activation_lines, span)


def _begin(step: Step, blocks: Sequence[Block]) -> None:
    """Loads of what the host has written, of the positions' tables, and of the first parameters, `blocks`."""
    layout, config = step.layout, step.config
    for node in step.plan.roles.inputs:
        step.node = node.name
        stripes = layout.input_row_stripes[node.name]
        stored = step.define(node, step.tokens, stripes * config.stripe_lines)
        for core in range(config.cores):
            region = layout.region(core, f"input {node.name}")
            step.load_vectors(core, "input", region.buffer, stored.buffer, {"length": step.tokens * stripes})
    step.node = "begin"
    if layout.rope_row_stripes:
        lines = layout.rope_row_stripes * config.stripe_lines
        buffer = step.buffer("positions", Space.VECTOR, step.tokens * lines)
        step.tables = Vectors(buffer, 0, lines)
        fields = {"length": step.tokens * layout.rope_row_stripes, "address_reg": Register.ROPE_OFFSET}
        for core in range(config.cores):
            step.load_vectors(core, "positions", layout.region(core, "positions").buffer, buffer, fields)
    if layout.has_positions:
        region = layout.region(0, "columns")
        buffer = step.buffer("columns", Space.VECTOR, region.stripes * config.stripe_lines)
        step.columns = Vectors(buffer, 0)
        for core in range(config.cores):
            region = layout.region(core, "columns")
            step.load_vectors(core, "columns", region.buffer, buffer, {"length": region.stripes})
    for block in blocks:
        step.load_block(block)


def _store_logits(step: Step) -> None:
    """Every core stores its own, in whole stripes."""
    config, output = step.config, step.plan.graph.outputs[0]
    stored: Stored = step.values[step.plan.part(output).base]
    for core in range(config.cores):
        columns = len(step.plan.placements[output].cores[core])
        region = step.layout.region(core, "logits")
        if columns:
            written, needed = columns // config.lanes, region.stripes * config.stripe_lines
            if needed > written:
                line = stored.line + written
                names = {"x": Vectors(stored.buffer, stored.line), "y": Vectors(stored.buffer, line, 1)}
                step.passes(core, _FILL, names, Extent(needed - written, config.lanes, config.lanes))
            fields: dict[str, int | float | At] = {
                "mode": StoreMode.LINES,
                "address": region.address,
                "length": region.stripes,
                "source": At(stored.buffer, stored.line),
            }
            span = Span(stored.buffer, stored.line, needed)
            store = Draft(Store, fields, "end: store the logits", step.moment, (span,), (Span(region.buffer, 0, 1),))
            step.emit(core, store)


def _check_fit(step: Step, vector_lines: int, activation_lines: int) -> None:
    config, problems = step.config, []
    for space, needed, key in (
        (Space.VECTOR, vector_lines, "vector_lines"),
        (Space.ACTIVATION, activation_lines, "activation_lines"),
    ):
        have = getattr(config, key)
        if needed > have:
            largest = sorted((b for b in step.buffers if b.space is space), key=lambda b: -b.lines)[:3]
            names = ", ".join(f"{b.name} ({b.lines})" for b in largest)
            problems.append(
                f"the {space.value} has {have} lines and the step needs {needed}, {needed - have} more"
                f" (largest: {names}); the smallest change that fits is {key}: {needed}"
            )
    if problems:
        raise FitError(
            f"a step of {step.tokens} token{'s' if step.tokens > 1 else ''} does not fit {config.name}: "
            + "; ".join(problems)
        )
