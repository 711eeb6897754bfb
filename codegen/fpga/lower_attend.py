"""Instructions for attention: the cache streams past the queries like weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.isa import Output, Register, Ring
from cosyn.accelerator_model.sequences import Pass, Passes, PerRow
from cosyn.accelerator_model.tile_stream import DENSE
from cosyn.codegen.fpga.bindings import Binding, Codes, Extent, Scalars, Vectors
from cosyn.codegen.fpga.cache_loads import CacheReach, load_keys, load_penalties, load_scales, load_values, value_parts
from cosyn.codegen.fpga.draft import At, Space, Span
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.head_codes import HeadCodes, quantize_heads
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.lower_rows import define_result, exchange, operand, result_part
from cosyn.codegen.fpga.parameters import MAX_TOKENS
from cosyn.codegen.fpga.plan_records import AttentionPlan, TileFormat
from cosyn.codegen.fpga.step import Step
from cosyn.ir.node import Node

_CACHE = TileFormat(8, DENSE, 0)
_MOVE: Passes = (Pass(role="move", a=PerRow("x"), output=Output.VECTOR, destination="y"),)


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
        self.groups = plan.heads[core].groups
        self.heads = max(len(g.q_heads) for g in self.groups)
        self.rows = self.heads * step.tokens
        self.reach = CacheReach.of(step, plan)
        self.query = self._quantize_query()
        self.uniform = self.reach.is_uniform(plan, core)
        self.scales = load_scales(step, core, plan, self.reach, range(len(self.groups) if self.uniform else 1))
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
        config, words = self.step.config, 2 * max(self.reach.value_steps, self.plan.key_steps)
        if self.rows > config.token_group and words > config.kv_ring_words:
            raise FitError(
                f"a tile of the cache of %{self.node.name} has {words} words, which {self.rows} queries read again; the"
                f" cache's ring holds {config.kv_ring_words}: set kv_ring_words to {words}, or compile for"
                f" {config.kv_ring_words // 2 * config.chain_length} positions"
            )

    def _quantize_query(self) -> HeadCodes:
        step, config = self.step, self.step.config
        source = operand(step, step.plan.part(self.node.operands[0]), self.core)
        unit = config.token_group if self.rows > 1 else 1
        counts = [len(g.q_heads) for g in self.groups]
        return quantize_heads(step, self.core, "query", source, counts, self.plan.query, config.chain_length, unit)

    def _make_set(self, number: int) -> _Set:
        step, name = self.step, str(number)
        lines = step.lines(self.reach.columns)
        limited = self.plan.attention.attrs.softcap is not None or self.plan.attention.attrs.alibi
        row_lines = step.row_lines(self.reach.columns)
        codes = step.buffer(f"codes {name}", Space.ACTIVATION, step.bank_lines(self.rows, row_lines))
        scalars = ["top", "total", "amax", "normaliser", "inverse", "token_scale"]
        if self.reach.masked is not None and self.reach.masked.most_vectors:
            scalars.append("some")
        value_lines = self.plan.value_tiles * step.lines(step.config.tile_columns)
        return _Set(
            step.vectors(f"scores {name}", self.rows, lines),
            step.vectors(f"scratch {name}", self.rows, lines) if limited else None,
            step.vectors(f"values {name}", self.rows, value_lines) if self._moves() else Vectors(codes, 0),
            Codes(codes, 0, row_lines),
            {s: step.scalars(f"{s} {name}", self.rows) for s in scalars},
        )

    def _scale_line(self, group: int, value: bool) -> int:
        lines = self.reach.scale_stripes * self.step.config.stripe_lines
        return (group + (len(self.groups) if value else 0)) * lines

    def _scores(self, group: int) -> None:
        step, config, plan = self.step, self.step.config, self.plan
        head, rows = self.groups[group].kv_head, len(self.groups[group].q_heads) * step.tokens
        first = sum(len(g.q_heads) for g in self.groups[:group])
        if group and not self.uniform:
            load_scales(step, self.core, plan, self.reach, range(group, group + 1))
        if self._penalised(group):
            load_penalties(step, self.core, plan, self.reach, group, self._penalty_line(group))
        stripes = load_keys(step, self.core, plan, self.reach, group)
        scores = self.sets[group % 2].scores
        row, word = self.query.rows[first], self.query.words[first]
        fields: dict[str, int | At] = {
            "steps": plan.key_steps,
            "tiles_reg": Register.KEY_TILES,
            "bank": self.reach.bank,
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
        lines = self.reach.key_tiles * step.lines(config.tile_columns)
        reads = (
            Span(self.query.buffer, 0, self.query.buffer.lines),
            Span(self.query.scale.buffer, 0, self.query.scale.buffer.lines),
            Span(self.scales, self._scale_line(group, False), self.reach.scale_stripes * config.stripe_lines),
        )
        write = Span(scores.buffer, scores.line, lines, rows, scores.stride)
        role = f"scores {head}"
        step.multiply(self.core, role, fields, _CACHE, Ring.KV, rows, stripes, reads, write)

    def _softmax(self, group: int) -> None:
        step, mine = self.step, self.sets[group % 2]
        attrs = self.plan.attention.attrs
        heads = len(self.groups[group].q_heads)
        passes = sequences.softmax_codes(
            attrs.scale, softcap=attrs.softcap, alibi=attrs.alibi, penalties=self._penalised(group)
        )
        reads = self.reach.masked.groups[self.core][group] if self.reach.masked is not None else self.plan
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
                    self.reach.columns,
                    self.reach.columns,
                    columns_reg=Register.SCORE_COLUMNS,
                    valid_reg=Register.VALID,
                    causal=step.tokens > 1,
                    window=reads.window,
                    sinks=reads.sinks,
                    bank=self.reach.bank,
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
        if self._penalised(group):
            names["penalty"] = self._penalties(group, first)
        if self.plan.attention.attrs.alibi:
            step = self.step
            assert step.tables is not None
            slope = step.parameter("slope")
            head = sum(len(g.q_heads) for g in self.groups[:group]) + first // step.tokens
            names["slope"] = Scalars(slope.buffer, slope.line * step.config.lanes + head * MAX_TOKENS)
            words = step.layout.position_stripe * step.config.stripe_bytes // 4
            names["position"] = Scalars(step.tables.buffer, words)
        return names

    def _penalised(self, group: int) -> bool:
        """Whether a block mask hides some of what is read from a head of the group."""
        return self.reach.masked is not None and self.reach.masked.groups[self.core][group].vectors > 0

    def _penalty_line(self, group: int) -> int:
        """Two groups are under way, each with penalties of its own."""
        assert self.reach.masked is not None
        lines = self.reach.masked.vector_stripes * self.step.config.stripe_lines
        return group % 2 * self.reach.masked.most_vectors * lines

    def _penalties(self, group: int, first: int) -> Vectors:
        """Those of the rows from `first` on: of one head's tokens, or of one token's heads."""
        assert self.reach.masked is not None
        lines = self.reach.masked.vector_stripes * self.step.config.stripe_lines
        line, several = self._penalty_line(group), self.reach.masked.groups[self.core][group].vectors > 1
        head = first // self.step.tokens if several else 0
        by_head = several and self.step.tokens == 1 and not self.plan.attention.attrs.alibi
        buffer = self.step.buffer("penalties", Space.VECTOR, line + lines)
        return Vectors(buffer, line + head * lines, lines if by_head else 0)

    def _moves(self) -> bool:
        """Whether values have to be moved to their place: rows of several heads and tokens are not evenly spaced."""
        whole = self.plan.value.width % self.step.config.tile_columns == 0
        return self.heads > 1 and not (self.step.tokens == 1 and whole)

    def _values(self, group: int) -> None:
        step, plan = self.step, self.plan
        mine = self.sets[group % 2]
        head, heads = self.groups[group].kv_head, len(self.groups[group].q_heads)
        rows = heads * step.tokens
        before = sum(len(g.q_heads) for g in self.groups[:group])
        place, _, _ = result_part(step, self.node, self.core)
        width = step.lines(plan.value.width)
        final = replace(place, line=place.line + before * width)
        target = mine.values if self._moves() else final
        if not self._moves() and step.tokens == 1:
            target = replace(final, stride=width)
        for tiles in value_parts(plan, self.reach):
            stripes = load_values(step, self.core, plan, self.reach, group, tiles)
            self._mix(mine, target, tiles, f"values {head}", rows, stripes)
        if self._moves():
            self._move(mine.values, final, heads, width)

    def _mix(self, mine: _Set, target: Vectors, tiles: range, role: str, rows: int, stripes: int) -> None:
        """Weighted sums of some column tiles of the values."""
        step, tile_lines = self.step, self.step.lines(self.step.config.tile_columns)
        token_scale, line = mine.scalars["token_scale"], target.line + tiles.start * tile_lines
        fields: dict[str, int | At] = {
            "steps_reg": Register.VALUE_STEPS,
            "tiles": len(tiles),
            "bank": self.reach.bank,
            "activation_line": At(mine.codes.buffer),
            "row_lines": mine.codes.row_lines,
            "token_scale": At(token_scale.buffer, 0, step.config.lanes, token_scale.word),
            "token_scaled": 1,
            "destination": At(target.buffer, line),
            "destination_stride": target.stride if rows > 1 else 0,
        }
        reads = (
            Span(mine.codes.buffer, 0, mine.codes.buffer.lines),
            Span(token_scale.buffer, 0, token_scale.buffer.lines),
        )
        write = Span(target.buffer, line, len(tiles) * tile_lines, rows, target.stride)
        step.multiply(self.core, role, fields, _CACHE, Ring.KV, rows, stripes, reads, write)

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
