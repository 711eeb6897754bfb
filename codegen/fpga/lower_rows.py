"""Instructions for what works on rows: norms, elementwise ops, quantization, exchange."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.isa import System, SystemOperation
from cosyn.accelerator_model.sequences import Passes
from cosyn.codegen.fpga.bindings import Binding, Codes, Extent, Scalars, Vectors
from cosyn.codegen.fpga.draft import At, Draft, Space, Span
from cosyn.codegen.fpga.layout import valid_columns
from cosyn.codegen.fpga.plan_records import Part
from cosyn.codegen.fpga.roles import Role
from cosyn.codegen.fpga.step import Step, Stored, StoredCodes
from cosyn.ir.node import Node
from cosyn.ir.ops.elementwise import ScalarAttrs


def operand(step: Step, part: Part, core: int) -> Vectors:
    """The vectors of a part on a core."""
    stored = step.values[part.base]
    return Vectors(stored.buffer, stored.line + part.places[core] // step.config.lanes, stored.stride)


def result_part(step: Step, node: Node, core: int) -> tuple[Vectors, int, int]:
    """Where a core writes its columns of the result of `node`, their count with padding and without."""
    if node.name in step.plan.in_place:
        part = step.plan.part(node.ref)
        columns = part.placement.cores[core]
        return operand(step, part, core), len(columns), valid_columns(columns)
    stored = step.values[node.ref]
    local = step.plan.exchanged.get(node.ref)
    columns = (local or step.plan.placements[node.ref]).cores[core]
    first = local.offsets()[core] if local is not None else 0
    place = Vectors(stored.buffer, stored.line + first // step.config.lanes, stored.stride)
    return place, len(columns), valid_columns(columns)


def rows_of(step: Step, ref: str) -> int:
    """Rows of a value: all tokens of the step, or the last one."""
    return step.values[step.plan.part(ref).base].rows


def define_result(step: Step, node: Node, rows: int, lines: int) -> Stored:
    """Room for a result and, where a core has none of it, for the line that this core sends instead."""
    local = step.plan.exchanged.get(node.ref)
    idle = local is not None and any(not len(c) for c in local.cores)
    return step.define(node, rows, lines, step.config.stripe_lines if idle else 0)


def exchange(step: Step, node: Node) -> None:
    """Send every core's columns of the result to the others."""
    local = step.plan.exchanged.get(node.ref)
    if local is None:
        return
    stored, lanes = step.values[node.ref], step.config.lanes
    whole = Span(stored.buffer, 0, stored.buffer.lines)
    for core in range(step.config.cores):
        lines, rows = len(local.cores[core]) // lanes, stored.rows
        first = stored.line + local.offsets()[core] // lanes
        if not lines:
            # Every core has to send something: a line behind the value that nothing reads.
            first, lines, rows = stored.rows * stored.stride, 1, 1
            region = step.layout.region(core, f"input {step.plan.roles.inputs[0].name}")
            step.load_vectors(core, "a line to send", region.buffer, stored.buffer, {"length": 1}, first)
        fields: dict[str, int | float | At] = {
            "operation": SystemOperation.EXCHANGE,
            "base": At(stored.buffer, first),
            "rows": rows,
            "row_stride": stored.stride if rows > 1 else 0,
            "lines": lines,
        }
        step.emit(core, Draft(System, fields, f"{step.node}: exchange", step.moment, (whole,), (whole,)))


def lower_elementwise(step: Step, node: Node) -> None:
    """Unary and binary ops, with a number, a vector for all rows, or a vector per row."""
    passes, names = _elementwise(step, node)
    rows = rows_of(step, next(r for r in names.values() if r.startswith("%")))
    if node.name in step.plan.in_place:
        step.values[step.plan.part(node.ref).base].buffer.extend(step.last_use(node.ref))
    else:
        define_result(step, node, rows, step.lines(step.plan.placements[node.ref].width))
    passes, amax = _with_absolute_maximum(step, node, passes, rows)
    local = step.plan.exchanged.get(node.ref) or step.plan.placements[node.ref]
    scratch = step.vectors("scratch", rows, step.lines(local.width)) if _uses(passes, "t") else None
    for core in range(step.config.cores):
        place, columns, counted = result_part(step, node, core)
        if not columns:
            continue
        bound: dict[str, Binding] = {"y": place}
        if scratch is not None:
            bound["t"] = scratch
        if amax is not None:
            bound["amax"] = amax
        for name, ref in names.items():
            bound[name] = _operand_like(step, node, ref, core)
        step.passes(core, passes, bound, Extent(rows, columns, counted))
    exchange(step, node)


def _operand_like(step: Step, node: Node, ref: str, core: int) -> Vectors:
    """An operand's vectors, at the columns that the core has of the result."""
    if ref.startswith("@"):
        return step.parameter("other")
    part = step.plan.part(ref)
    place = operand(step, part, core)
    local = step.plan.exchanged.get(node.ref) or step.plan.placements[node.ref]
    if part.placement.whole and not local.whole:
        first = int(local.cores[core][0])
        return replace(place, line=place.line + first // step.config.lanes)
    return place


def _number(step: Step, ref: str) -> float | None:
    producer = step.plan.graph.producer(ref)
    if producer is not None and isinstance(producer.attrs, ScalarAttrs):
        return float(producer.attrs.value)
    return None


def _elementwise(step: Step, node: Node) -> tuple[Passes, dict[str, str]]:
    """The passes of an elementwise node, and which operand is which name."""
    if node.op in sequences.UNARY:
        return sequences.UNARY[node.op](), {"x": node.operands[0]}
    x, other = node.operands
    if _number(step, x) is not None and node.op in ("add", "mul"):
        x, other = other, x
    number = _number(step, other)
    if number is not None:
        return sequences.with_number(node.op, number), {"x": x}
    return sequences.BINARY[node.op](), {"x": x, "other": other}


def _uses(passes: Passes, name: str) -> bool:
    return any(name in (*p.reads, *p.writes) for p in passes)


def _with_absolute_maximum(step: Step, node: Node, passes: Passes, rows: int) -> tuple[Passes, Scalars | None]:
    """The passes, with the first pass of a quantization that follows made part of them where each core has all."""
    if node.ref in step.plan.exchanged or not (step.plan.placements[node.ref].whole or step.config.cores == 1):
        return passes, None
    readers = [r for r, _, _ in step.plan.roles.readers(node.ref) if r.op == "quantize_rows"]
    if not readers or passes[-1].destination != "y" or passes[-1].reduce_to is not None:
        return passes, None
    amax = step.scalars("absolute maximum", rows, step.number(readers[0]))
    step.maxima[readers[0].name] = amax
    return sequences.join(passes, sequences.renamed(sequences.quantize_rows()[:1], {"x": "y"})), amax


def lower_norm(step: Step, node: Node) -> None:
    """RMSNorm or LayerNorm of whole rows, on every core; or of heads, each where it is."""
    if node.type.rank == 3:
        _lower_head_norm(step, node)
        return
    part = step.plan.part(node.operands[0])
    rows = rows_of(step, node.operands[0])
    step.define(node, rows, step.lines(step.plan.placements[node.ref].width))
    passes, amax = _with_absolute_maximum(step, node, norm_passes(node), rows)
    sums = {name: step.scalars(name, rows) for name in ("sum", "mean", "inverse_root")}
    for core in range(step.config.cores):
        place, columns, counted = result_part(step, node, core)
        bound: dict[str, Binding] = {"x": operand(step, part, core), "y": place, **sums}
        if amax is not None:
            bound["amax"] = amax
        bound |= {role: step.parameter(role) for role in ("weight", "bias")[: len(node.operands) - 1]}
        step.passes(core, passes, bound, Extent(rows, columns, counted))


def norm_passes(node: Node) -> Passes:
    """The passes of a norm node."""
    attrs: Any = node.attrs
    size = int(node.type.shape[-1])
    affine = len(node.operands) - 1
    if node.op == "rms_norm":
        return sequences.rms_norm(size, float(attrs.eps), weighted=affine > 0)
    return sequences.layer_norm(size, float(attrs.eps), weighted=affine > 0, biased=affine > 1)


def head_rows(step: Step, heads: int, lines: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """How passes go over heads and tokens: (line offset, rows, line stride).

    A decoded token's heads are the rows of one instruction; with more tokens there is one per head.
    """
    if step.tokens == 1:
        if heads:
            yield 0, heads, lines
    else:
        for head in range(heads):
            yield head * lines, step.tokens, stride


def _lower_head_norm(step: Step, node: Node) -> None:
    use = step.plan.roles.head_use(node.ref)
    assert use is not None
    plan = step.plan.attentions[use.attention.node.name]
    order = plan.order(use.role)
    part = step.plan.part(node.operands[0])
    step.define(node, step.tokens, step.lines(step.plan.placements[node.ref].width))
    for core, heads in enumerate(plan.heads):
        count = len(heads.q_heads if use.role is Role.QUERY else heads.kv_heads)
        source, lines = operand(step, part, core), step.lines(order.width)
        target, _, _ = result_part(step, node, core)
        shift = target.line - source.line
        for offset, rows, stride in head_rows(step, count, lines, source.stride):
            to_stride = stride if step.tokens == 1 else target.stride
            bound: dict[str, Binding] = {
                "x": Vectors(source.buffer, source.line + offset, stride),
                "y": Vectors(target.buffer, source.line + shift + offset, to_stride),
                **{name: step.scalars(name, rows) for name in ("sum", "mean", "inverse_root")},
                **{role: step.parameter(role) for role in ("weight", "bias")[: len(node.operands) - 1]},
            }
            step.passes(core, norm_passes(node), bound, Extent(rows, order.width, order.size))


def lower_quantize(step: Step, node: Node) -> None:
    """INT8 rows for the linears that read them, on every core."""
    part = step.plan.part(node.operands[0])
    rows = rows_of(step, node.operands[0])
    readers = [r for r, _, _ in step.plan.roles.readers(node.ref) if r.op == "linear_i8"]
    linears = [step.plan.linears[r.name] for r in readers]
    needed = max(p.steps * step.config.window(p.format.kept) for p in linears)
    code_columns = step.code_columns(max(needed, part.placement.width))
    row_lines = step.row_lines(code_columns)
    last = step.last_use(node.ref)
    buffer = step.buffer("codes", Space.ACTIVATION, step.bank_lines(rows, row_lines), last)
    scale = step.scalars("scale", rows, last)
    inverse = step.scalars("inverse", rows)
    amax = step.maxima.get(node.name)
    passes = sequences.quantize_rows()[1:] if amax is not None else sequences.quantize_rows()
    amax = amax or step.scalars("absolute maximum", rows)
    step.codes[node.ref] = StoredCodes(buffer, row_lines, rows, scale)
    for core in range(step.config.cores):
        columns = part.placement.cores[core]
        bound: dict[str, Binding] = {
            "x": operand(step, part, core),
            "amax": amax,
            "inverse": inverse,
            "scale": scale,
            "codes": Codes(buffer, 0, row_lines),
        }
        extent = Extent(rows, len(columns), valid_columns(columns), code_columns=code_columns)
        step.passes(core, passes, bound, extent)


def lower_take(step: Step, node: Node) -> None:
    """The last token's row, where it lies."""
    stored = step.values[step.plan.part(node.operands[0]).base]
    step.values[node.ref] = Stored(stored.buffer, stored.line + (stored.rows - 1) * stored.stride, 0, 1)
