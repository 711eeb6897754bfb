"""Instructions for attention: the cache is appended to, then streams past the queries like weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.isa import Output, Register, Ring, Store, StoreMode
from cosyn.accelerator_model.sequences import Pass, Passes, PerRow
from cosyn.accelerator_model.tile_stream import DENSE
from cosyn.codegen.fpga.bindings import Binding, Codes, Extent, Scalars, Vectors
from cosyn.codegen.fpga.draft import At, Buffer, Draft, Space, Span
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.heads import HeadOrder
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.lower_rows import define_result, exchange, head_rows, operand, result_part
from cosyn.codegen.fpga.parameters import MAX_TOKENS
from cosyn.codegen.fpga.plan import AttentionPlan, TileFormat
from cosyn.codegen.fpga.roles import Role
from cosyn.codegen.fpga.step import Step
from cosyn.ir.node import Node

_CACHE = TileFormat(8, DENSE, 0)
_MOVE: Passes = (Pass(role="move", a=PerRow("x"), output=Output.VECTOR, destination="y"),)


def lower_rope(step: Step, node: Node) -> None:
    """Turn the pairs of every head, where they lie."""
    use = step.plan.roles.head_use(node.ref)
    assert use is not None
    plan = step.plan.attentions[use.attention.node.name]
    order, part = plan.order(use.role), step.plan.part(node.operands[0])
    attrs: Any = node.attrs
    first, _ = step.layout.tables[node.operands[2], repr(attrs.scale), str(attrs.rotary_dim // 2)]
    assert step.tables is not None
    cosine = replace(step.tables, line=first, stride=step.tables.stride if step.tokens > 1 else 0)
    half = step.lines(order.half_places)
    for core, heads in enumerate(plan.heads):
        count = len(heads.q_heads if use.role is Role.QUERY else heads.kv_heads)
        source = operand(step, part, core)
        for offset, rows, stride in head_rows(step, count, step.lines(order.width), source.stride):
            low = Vectors(source.buffer, source.line + offset, stride)
            high = replace(low, line=low.line + step.lines(order.high))
            bound: dict[str, Binding] = {
                "low": low,
                "high": high,
                "out_low": low,
                "out_high": high,
                "t": step.vectors("high sine", rows, half),
                "u": step.vectors("low sine", rows, half),
                "cosine": cosine,
                "sine": replace(cosine, line=cosine.line + half),
            }
            step.passes(core, _in_place(sequences.rotary()), bound, Extent(rows, order.half_places, order.half))


def _in_place(passes: Passes) -> Passes:
    """The four passes of a rotation in an order that lets results take the place of operands: both products with the
    sine first, the second in scratch of its own.
    """
    high_sine, turn_low, low_sine, turn_high = passes
    own = {"t": "u"}
    return (high_sine, *sequences.renamed((low_sine,), own), turn_low, *sequences.renamed((turn_high,), own))


@dataclass(frozen=True)
class _HeadCodes:
    """INT8 rows of heads: head h's first is `rows[h]`, its scales from word `words[h]`."""

    buffer: Buffer
    row_lines: int
    rows: tuple[int, ...]
    scale: Scalars
    words: tuple[int, ...]


def lower_append(step: Step, node: Node) -> None:
    """Quantize the step's keys and values and store them at their positions."""
    reader = next(r for r, number, _ in step.plan.roles.readers(node.ref) if r.op == "attend" and number == 1)
    plan = step.plan.attentions[reader.name]
    for role, ref in ((Role.KEY, node.operands[1]), (Role.VALUE, node.operands[2])):
        unit = step.config.chain_length if role is Role.KEY else step.config.tile_columns
        for core, heads in enumerate(plan.heads):
            if heads.kv_heads:
                source = operand(step, step.plan.part(ref), core)
                codes = _quantize_heads(
                    step, core, role.value, source, [1] * len(heads.kv_heads), plan.order(role), unit
                )
                _store(step, core, plan, role, codes)


def _store(step: Step, core: int, plan: AttentionPlan, role: Role, codes: _HeadCodes) -> None:
    key = role is Role.KEY
    stride = 2 * step.config.ring_reads * (plan.key_steps if key else plan.value_steps)
    heads = plan.heads[core].kv_heads
    scales = step.layout.region(core, f"scales {plan.name}")
    for local, head in enumerate(heads):
        region = step.layout.region(core, f"{'keys' if key else 'values'} {plan.name}.{head}")
        fields: dict[str, int | float | At] = {
            "mode": StoreMode.KEY if key else StoreMode.VALUE,
            "address": region.address,
            "rows": step.tokens,
            "row_stride": stride,
            "length": plan.key_steps if key else plan.value_tiles,
            "source": At(codes.buffer),
            "source_stride": codes.row_lines,
            "row": codes.rows[local],
        }
        what = f"{step.node}: store {role.value} {head}"
        read, write = Span(codes.buffer, 0, codes.buffer.lines), Span(region.buffer, 0, 1)
        step.emit(core, Draft(Store, fields, what, step.moment, (read,), (write,)))
        fields = {
            "mode": StoreMode.SCALE,
            "address": scales.address + (local if key else len(heads) + local) * plan.scale_stripes,
            "rows": step.tokens,
            "source": At(codes.scale.buffer, 0, step.config.lanes, codes.words[local]),
        }
        read, write = Span(codes.scale.buffer, 0, codes.scale.buffer.lines), Span(scales.buffer, 0, 1)
        step.emit(core, Draft(Store, fields, f"{what}'s scale", step.moment, (read,), (write,)))


def _quantize_heads(
    step: Step,
    core: int,
    name: str,
    source: Vectors,
    groups: list[int],
    order: HeadOrder,
    unit: int,
    row_unit: int = 1,
) -> _HeadCodes:
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
    return _HeadCodes(buffer, row_lines, tuple(rows), scale, tuple(words))


def _ranges(groups: list[int]) -> list[tuple[int, int]]:
    """First and last head (exclusive) of each group."""
    return [(sum(groups[:g]), sum(groups[: g + 1])) for g in range(len(groups))]


def lower_attend(step: Step, node: Node) -> None:
    """Scores, softmax and weighted values of every head, two groups of heads under way at a time."""
    plan = step.plan.attentions[node.name]
    tile = step.lines(step.config.tile_columns)
    local = step.plan.exchanged.get(node.ref)
    firsts = local.offsets() if local is not None else (0,) * step.config.cores
    ends = [f + len(c) for f, c in zip(firsts, plan.output.cores, strict=True)]
    width = max(step.plan.placements[node.ref].width, *ends) + plan.value_tiles * step.config.tile_columns
    define_result(step, node, step.tokens, round_up(step.lines(width), tile))
    for core in range(step.config.cores):
        if plan.heads[core].groups:
            _CoreAttention(step, node, plan, core).run()
    exchange(step, node)


@dataclass(frozen=True)
class _Set:
    """Buffers of one group of heads under way."""

    scores: Vectors
    scratch: Vectors | None
    values: Vectors
    codes: Codes
    scalars: dict[str, Scalars]


class _CoreAttention:
    """One attention on one core."""

    def __init__(self, step: Step, node: Node, plan: AttentionPlan, core: int) -> None:
        self.step, self.node, self.plan, self.core = step, node, plan, core
        config = step.config
        self.groups = plan.heads[core].groups
        self.heads = max(len(g.q_heads) for g in self.groups)
        self.rows = self.heads * step.tokens
        self.score_columns = round_up(
            max(plan.key_tiles * config.tile_columns, plan.value_steps * config.chain_length), config.lanes
        )
        self.query = self._quantize_query()
        self.scales = self._load_scales()
        self.sets = [self._make_set(number) for number in range(min(2, len(self.groups)))]

    def run(self) -> None:
        """Scores of a group while the softmax of the one before is computed."""
        self._check_ring()
        self._scores(0)
        for group in range(len(self.groups)):
            if group + 1 < len(self.groups):
                self._scores(group + 1)
            self._softmax(group)
            self._values(group)

    def _check_ring(self) -> None:
        config, words = self.step.config, 2 * max(self.plan.value_steps, self.plan.key_steps)
        if self.rows > config.token_group and words > config.kv_ring_words:
            raise FitError(
                f"a tile of the cache of %{self.node.name} has {words} words, which {self.rows} queries read again; the"
                f" cache's ring holds {config.kv_ring_words}: set kv_ring_words to {words}, or compile for"
                f" {config.kv_ring_words // 2 * config.chain_length} positions"
            )

    def _quantize_query(self) -> _HeadCodes:
        step, config = self.step, self.step.config
        source = operand(step, step.plan.part(self.node.operands[0]), self.core)
        unit = config.token_group if self.rows > 1 else 1
        counts = [len(g.q_heads) for g in self.groups]
        return _quantize_heads(step, self.core, "query", source, counts, self.plan.query, config.chain_length, unit)

    def _load_scales(self) -> Buffer:
        step, stripes, config = self.step, self.plan.scale_stripes, self.step.config
        lines = stripes * config.stripe_lines
        rows = 2 * len(self.groups)
        buffer = step.buffer("scales", Space.VECTOR, rows * lines)
        per_tile = config.tile_columns * 4 // config.stripe_bytes
        fields = {
            "length": per_tile or 1,
            "length_reg": Register.KEY_TILES if per_tile else Register.SCALE_STRIPES,
            "reach": stripes,
            "rows": rows,
            "row_stride": stripes,
            "vector_stride": lines,
        }
        region = step.layout.region(self.core, f"scales {self.plan.name}")
        step.load_vectors(self.core, "scales of keys and values", region.buffer, buffer, fields, cached=True)
        return buffer

    def _make_set(self, number: int) -> _Set:
        step, name = self.step, str(number)
        lines = step.lines(self.score_columns)
        limited = self.plan.attention.attrs.softcap is not None or self.plan.attention.attrs.alibi
        row_lines = step.row_lines(self.score_columns)
        codes = step.buffer(f"codes {name}", Space.ACTIVATION, step.bank_lines(self.rows, row_lines))
        scalars = ("top", "total", "amax", "normaliser", "inverse", "token_scale")
        value_lines = self.plan.value_tiles * step.lines(step.config.tile_columns)
        return _Set(
            step.vectors(f"scores {name}", self.rows, lines),
            step.vectors(f"scratch {name}", self.rows, lines) if limited else None,
            step.vectors(f"values {name}", self.rows, value_lines) if self._moves() else Vectors(codes, 0),
            Codes(codes, 0, row_lines),
            {s: step.scalars(f"{s} {name}", self.rows) for s in scalars},
        )

    def _scale_line(self, group: int, value: bool) -> int:
        lines = self.plan.scale_stripes * self.step.config.stripe_lines
        return (group + (len(self.groups) if value else 0)) * lines

    def _scores(self, group: int) -> None:
        step, config, plan = self.step, self.step.config, self.plan
        head, rows = self.groups[group].kv_head, len(self.groups[group].q_heads) * step.tokens
        first = sum(len(g.q_heads) for g in self.groups[:group])
        region = step.layout.region(self.core, f"keys {plan.name}.{head}")
        tile = plan.key_steps * 2 * config.ring_reads
        length = {"length": tile, "length_reg": Register.KEY_TILES}
        step.load_ring(self.core, Ring.KV, f"keys {head}", region.buffer, region.stripes, length)
        scores = self.sets[group % 2].scores
        row, word = self.query.rows[first], self.query.words[first]
        fields: dict[str, int | At] = {
            "steps": plan.key_steps,
            "tiles_reg": Register.KEY_TILES,
            "activation_line": At(self.query.buffer),
            "row": row,
            "row_lines": self.query.row_lines,
            "column_scale": At(self.scales, self._scale_line(group, False)),
            "column_scaled": 1,
            "token_scale": At(self.query.scale.buffer, 0, config.lanes, word),
            "token_scaled": 1,
            "destination": At(scores.buffer, scores.line),
            "destination_stride": scores.stride if rows > 1 else 0,
        }
        lines = plan.key_tiles * step.lines(config.tile_columns)
        reads = (
            Span(self.query.buffer, 0, self.query.buffer.lines),
            Span(self.query.scale.buffer, 0, self.query.scale.buffer.lines),
            Span(self.scales, self._scale_line(group, False), plan.scale_stripes * config.stripe_lines),
        )
        write = Span(scores.buffer, scores.line, lines, rows, scores.stride)
        role = f"scores {head}"
        step.multiply(self.core, role, fields, _CACHE, Ring.KV, rows, region.stripes, reads, write)

    def _softmax(self, group: int) -> None:
        step, mine = self.step, self.sets[group % 2]
        attrs = self.plan.attention.attrs
        heads = len(self.groups[group].q_heads)
        passes = sequences.softmax_codes(attrs.scale, softcap=attrs.softcap, alibi=attrs.alibi)
        bound: dict[str, Binding] = {
            "value_scale": Vectors(self.scales, self._scale_line(group, True)),
        }
        if step.columns is not None:
            bound["column"] = step.columns
        for step_pass in passes:
            if step_pass.over_rows:
                step.passes(self.core, (step_pass,), {**bound, **mine.scalars}, Extent(heads * step.tokens, 0, 0))
                continue
            for first, rows in self._row_sets(heads):
                names = bound | self._row_names(mine, group, first)
                extent = Extent(
                    rows,
                    self.score_columns,
                    self.score_columns,
                    columns_reg=Register.SCORE_COLUMNS,
                    valid_reg=Register.VALID,
                    causal=step.tokens > 1,
                    window=attrs.window or 0,
                )
                step.passes(self.core, (step_pass,), names, extent)

    def _row_sets(self, heads: int) -> Iterator[tuple[int, int]]:
        """First row and rows that one pass can mask: heads of one token, or tokens of one head."""
        alibi = self.plan.attention.attrs.alibi
        if self.step.tokens == 1 and not alibi:
            yield 0, heads
        else:
            for head in range(heads):
                yield head * self.step.tokens, self.step.tokens

    def _row_names(self, mine: _Set, group: int, first: int) -> dict[str, Binding]:
        scores = replace(mine.scores, line=mine.scores.line + first * mine.scores.stride)
        names: dict[str, Binding] = {
            "scores": scores,
            "s": scores,
            "codes": replace(mine.codes, row=first),
            **{name: replace(place, word=place.word + first) for name, place in mine.scalars.items()},
        }
        if mine.scratch is not None:
            names["t"] = replace(mine.scratch, line=first * mine.scratch.stride)
        if self.plan.attention.attrs.alibi:
            step = self.step
            assert step.tables is not None
            slope = step.parameter("slope")
            head = sum(len(g.q_heads) for g in self.groups[:group]) + first // step.tokens
            names["slope"] = Scalars(slope.buffer, slope.line * step.config.lanes + head * MAX_TOKENS)
            words = step.layout.position_stripe * step.config.stripe_bytes // 4
            names["position"] = Scalars(step.tables.buffer, words)
        return names

    def _moves(self) -> bool:
        """Whether values have to be moved to their place: rows of several heads and tokens are not evenly spaced."""
        whole = self.plan.value.width % self.step.config.tile_columns == 0
        return self.heads > 1 and not (self.step.tokens == 1 and whole)

    def _values(self, group: int) -> None:
        step, config, plan = self.step, self.step.config, self.plan
        mine = self.sets[group % 2]
        head, heads = self.groups[group].kv_head, len(self.groups[group].q_heads)
        rows = heads * step.tokens
        before = sum(len(g.q_heads) for g in self.groups[:group])
        region = step.layout.region(self.core, f"values {plan.name}.{head}")
        stripes = 2 * config.ring_reads
        length = {"length": stripes, "length_reg": Register.VALUE_STEPS, "rows": plan.value_tiles}
        length |= {"row_stride": plan.value_steps * stripes if plan.value_tiles > 1 else 0}
        step.load_ring(self.core, Ring.KV, f"values {head}", region.buffer, region.stripes, length)
        place, _, _ = result_part(step, self.node, self.core)
        width = step.lines(plan.value.width)
        final = replace(place, line=place.line + before * width)
        target = mine.values if self._moves() else final
        if not self._moves() and step.tokens == 1:
            target = replace(final, stride=width)
        token_scale = mine.scalars["token_scale"]
        fields: dict[str, int | At] = {
            "steps_reg": Register.VALUE_STEPS,
            "tiles": plan.value_tiles,
            "activation_line": At(mine.codes.buffer),
            "row_lines": mine.codes.row_lines,
            "token_scale": At(token_scale.buffer, 0, config.lanes, token_scale.word),
            "token_scaled": 1,
            "destination": At(target.buffer, target.line),
            "destination_stride": target.stride if rows > 1 else 0,
        }
        reads = (
            Span(mine.codes.buffer, 0, mine.codes.buffer.lines),
            Span(token_scale.buffer, 0, token_scale.buffer.lines),
        )
        lines = plan.value_tiles * step.lines(config.tile_columns)
        write = Span(target.buffer, target.line, lines, rows, target.stride)
        step.multiply(self.core, f"values {head}", fields, _CACHE, Ring.KV, rows, region.stripes, reads, write)
        if self._moves():
            self._move(mine.values, final, heads, width)

    def _move(self, source: Vectors, final: Vectors, heads: int, width: int) -> None:
        step, columns = self.step, self.plan.value.width
        if step.tokens == 1:
            sets = [(0, final.line, heads, width)]
        else:
            sets = [(h * step.tokens, final.line + h * width, step.tokens, final.stride) for h in range(heads)]
        for row, line, rows, stride in sets:
            names: dict[str, Binding] = {
                "x": replace(source, line=source.line + row * source.stride),
                "y": Vectors(final.buffer, line, stride),
            }
            step.passes(self.core, _MOVE, names, Extent(rows, columns, columns))
