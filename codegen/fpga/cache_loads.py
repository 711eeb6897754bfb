"""Loads of cached keys, values and scales: as much of the cache as a step reads.

Without a pattern that is everything up to the step's last token. A pattern's columns are those of its kept positions,
which loads of fixed size bring, then those of a run that ends with the step's last token: a window's, or a tail behind
what a block mask leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cosyn.accelerator_model.isa import PatternRegister, Register, Ring
from cosyn.codegen.fpga.draft import Buffer, Space
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.mask_plan import SpanReads
from cosyn.codegen.fpga.plan_records import AttentionPlan
from cosyn.codegen.fpga.step import Step


@dataclass(frozen=True, slots=True)
class Fixed:
    """`count` runs of `length` positions from `first` on, one every `stride`: what one load brings."""

    first: int
    length: int
    count: int = 1
    stride: int = 0


@dataclass(frozen=True, slots=True)
class CacheReach:
    """What a step reads of a cache at most, and how much of that are kept positions."""

    bank: int
    kept: int
    start: int
    """Where the run begins that ends with the step, if nothing is skipped: registers add what a window skips."""
    columns: int
    """Of scores: whole lines."""
    key_tiles: int
    value_steps: int
    scale_stripes: int
    masked: SpanReads | None = None

    @staticmethod
    def of(step: Step, plan: AttentionPlan) -> CacheReach:
        """The reach of the step's tokens."""
        config, pattern, masked = step.config, plan.pattern, None
        tiles, steps, stripes = plan.key_tiles, plan.value_steps, plan.scale_stripes
        kept = start = pattern.kept if pattern is not None else 0
        if plan.mask is not None:
            masked = plan.mask.spans[step.span]
            kept, start, most = masked.kept, masked.tail, masked.most
        elif pattern is not None:
            most = pattern.most_columns(step.plan.max_seq, step.tokens)
        if plan.mask is not None or pattern is not None:
            tiles, steps = -(-most // config.tile_columns), -(-most // config.chain_length)
            stripes = -(-round_up(most, config.tile_columns) * 4 // config.stripe_bytes)
        wide = max(tiles * config.tile_columns, steps * config.chain_length)
        return CacheReach(plan.bank, kept, start, round_up(wide, config.lanes), tiles, steps, stripes, masked)

    def fixed(self, plan: AttentionPlan, core: int, group: int) -> tuple[Fixed, ...]:
        """The kept positions of a group's heads."""
        if self.masked is None or plan.mask is None:
            return (Fixed(0, self.kept),) if self.kept else ()
        unit = plan.mask.unit
        runs = self.masked.groups[core][group].runs
        return tuple(Fixed(r.first * unit, r.length * unit, r.count, r.stride * unit) for r in runs)

    def is_uniform(self, plan: AttentionPlan, core: int) -> bool:
        """Whether all groups of a core read the same positions."""
        return len({self.fixed(plan, core, group) for group in range(len(plan.heads[core].groups))}) <= 1

    def register(self, name: str) -> int:
        """The register of the run's size, or for `_SKIP` of where it begins; 0: none."""
        if not self.bank:
            return 0 if name.endswith("_SKIP") else Register[name.removeprefix("RUN_")]
        return 0 if name.endswith("_SKIP") and self.masked is not None else PatternRegister[name]


def load_scales(step: Step, core: int, plan: AttentionPlan, reach: CacheReach, groups: range) -> Buffer:
    """Scales of keys and values of some or all groups of a core, each in `reach.scale_stripes` stripes of a buffer.

    Groups that are loaded together read the same positions.
    """
    config = step.config
    lines = reach.scale_stripes * config.stripe_lines
    count = len(plan.heads[core].groups)
    buffer = step.buffer("scales", Space.VECTOR, 2 * count * lines)
    region = step.layout.region(core, f"scales {plan.name}")
    role, words = "scales of keys and values", config.stripe_bytes // 4
    if len(groups) == count:
        rows, row, line = 2 * count, plan.scale_stripes, lines
    else:
        rows, row, line = 2, count * plan.scale_stripes, count * lines
    address, to = groups.start * plan.scale_stripes, groups.start * lines
    column = 0
    for fixed in reach.fixed(plan, core, groups.start):
        for fields, place in _scale_rows(fixed, words, rows, row, line, config.lanes):
            fields |= {"address": address + fields["address"]}
            at = to + column // config.lanes + place
            step.load_vectors(core, f"{role}, kept", region.buffer, buffer, fields, at, cached=True)
        column += fixed.length * fixed.count
    per_tile = config.tile_columns * 4 // config.stripe_bytes
    fields = {
        "address": address + reach.start // words,
        "address_reg": reach.register("SCALE_SKIP"),
        "length": per_tile or 1,
        "length_reg": reach.register("RUN_KEY_TILES" if per_tile else "RUN_SCALE_STRIPES"),
        "reach": reach.scale_stripes - reach.kept // words,
        "bank": reach.bank,
        "rows": rows,
        "row_stride": row,
        "vector_stride": line,
    }
    step.load_vectors(core, role, region.buffer, buffer, fields, to + reach.kept // config.lanes, cached=True)
    return buffer


def _scale_rows(
    fixed: Fixed, words: int, rows: int, row: int, line: int, lanes: int
) -> Iterator[tuple[dict[str, int], int]]:
    """Fields of the loads of some runs of `rows` vectors of scales, and the line of each behind the first column's."""
    first, length = fixed.first // words, fixed.length // words
    if fixed.count <= rows:
        for run in range(fixed.count):
            fields = {"address": first + run * fixed.stride // words, "length": length}
            yield fields | {"rows": rows, "row_stride": row, "vector_stride": line}, run * fixed.length // lanes
        return
    for number in range(rows):
        fields = {"address": first + number * row, "length": length, "rows": fixed.count}
        yield fields | {"row_stride": fixed.stride // words, "vector_stride": fixed.length // lanes}, number * line


def load_keys(step: Step, core: int, plan: AttentionPlan, reach: CacheReach, group: int) -> int:
    """Keys of a group's head; the stripes that they take in the ring, at most."""
    config, head = step.config, plan.heads[core].groups[group].kv_head
    role = f"keys {head}"
    region = step.layout.region(core, f"keys {plan.name}.{head}")
    tile = plan.key_steps * 2 * config.ring_reads
    stripes = reach.key_tiles * tile
    left = stripes
    for fixed in reach.fixed(plan, core, group):
        left -= _load_fixed(step, core, f"{role}, kept", region.buffer, fixed, config.tile_columns, tile, 0)
    fields = {
        "address": reach.start // config.tile_columns * tile,
        "address_reg": reach.register("KEY_SKIP"),
        "length": tile,
        "length_reg": reach.register("RUN_KEY_TILES"),
        "bank": reach.bank,
    }
    step.load_ring(core, Ring.KV, role, region.buffer, left, fields)
    return stripes


def value_parts(plan: AttentionPlan, reach: CacheReach) -> list[range]:
    """Column tiles of values that one instruction multiplies: all, or each by itself where it comes in several runs."""
    if reach.kept:
        return [range(tile, tile + 1) for tile in range(plan.value_tiles)]
    return [range(plan.value_tiles)]


def load_values(step: Step, core: int, plan: AttentionPlan, reach: CacheReach, group: int, tiles: range) -> int:
    """Some column tiles of a group's values; the stripes that they take in the ring, at most."""
    config, head = step.config, plan.heads[core].groups[group].kv_head
    role = f"values {head}"
    region = step.layout.region(core, f"values {plan.name}.{head}")
    stripes = 2 * config.ring_reads
    tile = plan.value_steps * stripes
    first, length = tiles.start * tile, len(tiles) * reach.value_steps * stripes
    left = length
    for fixed in reach.fixed(plan, core, group):
        left -= _load_fixed(step, core, f"{role}, kept", region.buffer, fixed, config.chain_length, stripes, first)
    fields = {
        "address": first + reach.start // config.chain_length * stripes,
        "address_reg": reach.register("VALUE_SKIP"),
        "length": stripes,
        "length_reg": reach.register("RUN_VALUE_STEPS"),
        "bank": reach.bank,
        "rows": len(tiles),
        "row_stride": tile if len(tiles) > 1 else 0,
    }
    step.load_ring(core, Ring.KV, role, region.buffer, left, fields)
    return length


def _load_fixed(
    step: Step, core: int, role: str, region: Buffer, fixed: Fixed, positions: int, stripes: int, first: int
) -> int:
    """Load kept positions to the ring, `stripes` for each `positions` of them, from `first` on; all their stripes."""
    length = fixed.length // positions * stripes
    fields = {
        "address": first + fixed.first // positions * stripes,
        "length": length,
        "rows": fixed.count,
        "row_stride": fixed.stride // positions * stripes,
    }
    step.load_ring(core, Ring.KV, role, region, length * fixed.count, fields)
    return length * fixed.count


def load_penalties(step: Step, core: int, plan: AttentionPlan, reach: CacheReach, group: int, line: int) -> Buffer:
    """A group's vectors of penalties, to lines from `line` on of a buffer."""
    assert reach.masked is not None
    mine, region = reach.masked.groups[core][group], step.layout.region(core, "penalties")
    stripes = mine.vectors * reach.masked.vector_stripes
    buffer = step.buffer("penalties", Space.VECTOR, line + stripes * step.config.stripe_lines)
    fields = {"address": mine.address, "length": stripes}
    # In the order of the cache's loads, although nothing stores to what it reads.
    step.load_vectors(core, "penalties", region.buffer, buffer, fields, line, cached=True)
    return buffer
