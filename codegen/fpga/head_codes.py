"""Instructions that quantize the heads of queries, keys and values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosyn.accelerator_model import sequences
from cosyn.codegen.fpga.bindings import Binding, Codes, Extent, Scalars, Vectors
from cosyn.codegen.fpga.draft import Buffer, Space
from cosyn.codegen.fpga.heads import HeadOrder
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.lower_rows import head_rows
from cosyn.codegen.fpga.step import Step


@dataclass(frozen=True)
class HeadCodes:
    """INT8 rows of heads: head h's first is `rows[h]`, its scales from word `words[h]`."""

    buffer: Buffer
    row_lines: int
    rows: tuple[int, ...]
    scale: Scalars
    words: tuple[int, ...]


def quantize_heads(
    step: Step,
    core: int,
    name: str,
    source: Vectors,
    groups: list[int],
    order: HeadOrder,
    unit: int,
    row_unit: int = 1,
) -> HeadCodes:
    """INT8 rows of heads that lie one after the other; each group of heads starts on a row that is a multiple of
    `row_unit`, and rows are whole `unit`s.
    """
    lanes, tokens = step.config.lanes, step.tokens
    columns = step.code_columns(round_up(order.width, unit))
    row_lines = step.row_lines(columns)
    pitch = [round_up(count * tokens, row_unit) for count in groups]
    together = all(count * tokens == rows for count, rows in zip(groups, pitch, strict=True))
    word_pitch = pitch if together else [round_up(rows, lanes) for rows in pitch]
    starts = [sum(pitch[:g]) for g in range(len(groups))]
    word_starts = [sum(word_pitch[:g]) for g in range(len(groups))]
    buffer = step.buffer(f"codes of {name}", Space.ACTIVATION, step.bank_lines(sum(pitch), row_lines))
    names = ("amax", "inverse", "scale")
    amax, inverse, scale = (step.scalars(f"{n} of {name}", sum(word_pitch)) for n in names)
    rows = [starts[g] + h * tokens for g, count in enumerate(groups) for h in range(count)]
    words = [word_starts[g] + h * tokens for g, count in enumerate(groups) for h in range(count)]
    maximum, *over_rows, codes = sequences.quantize_rows()
    width = step.lines(order.width)
    # One instruction takes all heads of a decoded token where their rows lie one after the other.
    sets = [(0, len(rows))] if together else _ranges(groups)
    parts = [
        (first * width + offset, count, stride, first + (offset // width if tokens > 1 else 0))
        for first, last in sets
        for offset, count, stride in head_rows(step, last - first, width, source.stride)
    ]
    for step_pass in (maximum, *over_rows, codes):
        if step_pass.over_rows:
            for first, last in sets:
                shift = words[first]
                bound: dict[str, Binding] = {
                    "amax": replace(amax, word=shift),
                    "inverse": replace(inverse, word=shift),
                    "scale": replace(scale, word=shift),
                }
                step.passes(core, (step_pass,), bound, Extent((last - first) * tokens, 0, 0))
            continue
        for offset, count, stride, head in parts:
            bound = {
                "x": Vectors(source.buffer, source.line + offset, stride),
                "amax": replace(amax, word=words[head]),
                "inverse": replace(inverse, word=words[head]),
                "codes": Codes(buffer, rows[head], row_lines),
            }
            extent = Extent(count, order.width, order.width, code_columns=columns)
            step.passes(core, (step_pass,), bound, extent)
    return HeadCodes(buffer, row_lines, tuple(rows), scale, tuple(words))


def _ranges(groups: list[int]) -> list[tuple[int, int]]:
    """First and last head (exclusive) of each group."""
    return [(sum(groups[:g]), sum(groups[: g + 1])) for g in range(len(groups))]
