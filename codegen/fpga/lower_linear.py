"""Instructions for a linear: its weights stream past the activation rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.isa import Ring
from cosyn.codegen.fpga.bindings import Binding, Extent, Vectors
from cosyn.codegen.fpga.draft import At, Span
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.lower_rows import define_result, exchange, result_part
from cosyn.codegen.fpga.plan_records import LinearPlan
from cosyn.codegen.fpga.step import Step, StoredCodes
from cosyn.ir.node import Node


def lower_linear(step: Step, node: Node) -> None:
    """Each core multiplies by its own columns; several rows in `step.pieces` instructions, one after the other.

    What reads the first columns, or stores them, then need not wait for the last.
    """
    config, plan = step.config, step.plan.linears[node.name]
    codes = step.codes[node.operands[0]]
    _check_ring(step, plan, codes.rows)
    local = step.plan.exchanged.get(node.ref)
    firsts = local.offsets() if local is not None else (0,) * config.cores
    # A core's last tile may reach beyond its columns: into those of the next core, which come later, or behind the row.
    reach = max(f + t * config.tile_columns for f, t in zip(firsts, plan.tiles, strict=True))
    width = max(step.plan.placements[node.ref].width, reach)
    stored = define_result(step, node, codes.rows, step.lines(width))
    for core in range(config.cores):
        if not plan.tiles[core]:
            continue
        region = step.layout.region(core, f"weights {node.name}")
        step.load_ring(core, Ring.WEIGHTS, "weights", region.buffer, region.stripes, {"length": region.stripes})
        place, _, _ = result_part(step, node, core)
        for tiles in pieces(plan.tiles[core], step.pieces if codes.rows > 1 else 1):
            _multiply(step, plan, core, tiles, codes, place, stored.stride)
        if plan.bias is not None:
            _bias(step, node, core, codes.rows)
    exchange(step, node)


def pieces(tiles: int, count: int) -> Iterator[range]:
    """`tiles` tiles as `count` ranges, or one each where they are fewer; the longer ones come first."""
    count = min(count, tiles)
    ends = [-(-number * tiles // count) for number in range(count + 1)]
    for first, end in pairwise(ends):
        yield range(first, end)


def _multiply(
    step: Step, plan: LinearPlan, core: int, tiles: range, codes: StoredCodes, place: Vectors, stride: int
) -> None:
    """The columns of a range of a core's tiles, to their places in rows `stride` lines apart."""
    config, scale = step.config, step.parameter("column_scale")
    tile_lines = config.tile_columns // config.lanes
    first, lines = tiles.start * tile_lines, len(tiles) * tile_lines
    fields: dict[str, int | At] = {
        "steps": plan.steps,
        "tiles": len(tiles),
        "activation_line": At(codes.buffer),
        "row_lines": codes.row_lines,
        "column_scale": At(scale.buffer, scale.line + first),
        "column_scaled": 1,
        "token_scale": At(codes.scale.buffer, 0, config.lanes, codes.scale.word),
        "token_scaled": 1,
        "destination": At(place.buffer, place.line + first),
        "destination_stride": stride if codes.rows > 1 else 0,
    }
    reads = (
        Span(codes.buffer, 0, codes.buffer.lines),
        Span(scale.buffer, scale.line + first, lines),
        Span(codes.scale.buffer, 0, codes.scale.buffer.lines),
    )
    write = Span(place.buffer, place.line + first, lines, codes.rows, stride)
    stripes = len(tiles) * plan.tile_words * config.ring_reads
    step.multiply(core, "multiply", fields, plan.format, Ring.WEIGHTS, codes.rows, stripes, reads, write)


def _bias(step: Step, node: Node, core: int, rows: int) -> None:
    place, columns, counted = result_part(step, node, core)
    bound: dict[str, Binding] = {"x": place, "y": place, "bias": step.parameter("bias")}
    step.passes(core, sequences.bias(), bound, Extent(rows, columns, counted))


def _check_ring(step: Step, plan: LinearPlan, rows: int) -> None:
    config = step.config
    if rows > config.token_group and plan.tile_words > config.weight_ring_words:
        raise FitError(
            f"a tile of %{plan.node.name} has {plan.tile_words} words; a step of {rows} tokens keeps it in the weight"
            f" ring, which holds {config.weight_ring_words}: set weight_ring_words to {plan.tile_words}, or take steps"
            f" of at most {config.token_group} tokens"
        )
