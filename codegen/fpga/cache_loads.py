"""Loads of cached keys, values and scales: as much of the cache as a step reads.

Without a pattern that is everything up to the step's last token. A pattern's columns are those of its kept positions,
then those of the window's run, and a second load brings each of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosyn.accelerator_model.isa import PatternRegister, Register, Ring
from cosyn.codegen.fpga.draft import Buffer, Space
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.plan_records import AttentionPlan
from cosyn.codegen.fpga.step import Step


@dataclass(frozen=True, slots=True)
class CacheReach:
    """What a step reads of a cache at most, and how much of that are kept positions."""

    bank: int
    kept: int
    columns: int
    """Of scores: whole lines."""
    key_tiles: int
    value_steps: int
    scale_stripes: int

    @staticmethod
    def of(step: Step, plan: AttentionPlan) -> CacheReach:
        """The reach of the step's tokens."""
        config, pattern = step.config, plan.pattern
        tiles, steps, stripes = plan.key_tiles, plan.value_steps, plan.scale_stripes
        if pattern is not None:
            most = pattern.most_columns(step.plan.max_seq, step.tokens)
            tiles, steps = -(-most // config.tile_columns), -(-most // config.chain_length)
            stripes = -(-round_up(most, config.tile_columns) * 4 // config.stripe_bytes)
        wide = max(tiles * config.tile_columns, steps * config.chain_length)
        kept = pattern.kept if pattern is not None else 0
        return CacheReach(plan.bank, kept, round_up(wide, config.lanes), tiles, steps, stripes)


def load_scales(step: Step, core: int, plan: AttentionPlan, reach: CacheReach) -> Buffer:
    """Scales of keys and values of all heads of a core, each in `reach.scale_stripes` stripes of a buffer."""
    config = step.config
    lines = reach.scale_stripes * config.stripe_lines
    rows = 2 * len(plan.heads[core].groups)
    buffer = step.buffer("scales", Space.VECTOR, rows * lines)
    region = step.layout.region(core, f"scales {plan.name}")
    role = "scales of keys and values"
    common = {"rows": rows, "row_stride": plan.scale_stripes, "vector_stride": lines}
    per_tile = config.tile_columns * 4 // config.stripe_bytes
    if not reach.bank:
        register = Register.KEY_TILES if per_tile else Register.SCALE_STRIPES
        fields = {"length": per_tile or 1, "length_reg": register, "reach": reach.scale_stripes, **common}
        step.load_vectors(core, role, region.buffer, buffer, fields, cached=True)
        return buffer
    kept = reach.kept * 4 // config.stripe_bytes
    if kept:
        step.load_vectors(core, f"{role}, kept", region.buffer, buffer, {"length": kept, **common}, cached=True)
    fields = {
        "address": kept,
        "address_reg": PatternRegister.SCALE_SKIP,
        "length": per_tile or 1,
        "length_reg": PatternRegister.RUN_KEY_TILES if per_tile else PatternRegister.RUN_SCALE_STRIPES,
        "reach": reach.scale_stripes - kept,
        "bank": reach.bank,
        **common,
    }
    step.load_vectors(core, role, region.buffer, buffer, fields, kept * config.stripe_lines, cached=True)
    return buffer


def load_keys(step: Step, core: int, plan: AttentionPlan, reach: CacheReach, head: int) -> int:
    """Keys of a head; the stripes that they take in the ring, at most."""
    config, role = step.config, f"keys {head}"
    region = step.layout.region(core, f"keys {plan.name}.{head}")
    tile = plan.key_steps * 2 * config.ring_reads
    if not reach.bank:
        length = {"length": tile, "length_reg": Register.KEY_TILES}
        step.load_ring(core, Ring.KV, role, region.buffer, region.stripes, length)
        return region.stripes
    kept = reach.kept // config.tile_columns * tile
    if kept:
        step.load_ring(core, Ring.KV, f"{role}, kept", region.buffer, kept, {"length": kept})
    fields = {
        "address": kept,
        "address_reg": PatternRegister.KEY_SKIP,
        "length": tile,
        "length_reg": PatternRegister.RUN_KEY_TILES,
        "bank": reach.bank,
    }
    step.load_ring(core, Ring.KV, role, region.buffer, reach.key_tiles * tile - kept, fields)
    return reach.key_tiles * tile


def value_parts(plan: AttentionPlan, reach: CacheReach) -> list[range]:
    """Column tiles of values that one instruction multiplies: all, or each by itself where it comes in two runs."""
    if reach.kept:
        return [range(tile, tile + 1) for tile in range(plan.value_tiles)]
    return [range(plan.value_tiles)]


def load_values(step: Step, core: int, plan: AttentionPlan, reach: CacheReach, head: int, tiles: range) -> int:
    """Some column tiles of a head's values; the stripes that they take in the ring, at most."""
    config, role = step.config, f"values {head}"
    region = step.layout.region(core, f"values {plan.name}.{head}")
    stripes = 2 * config.ring_reads
    tile = plan.value_steps * stripes
    fields = {"length": stripes, "rows": len(tiles), "row_stride": tile if len(tiles) > 1 else 0}
    if not reach.bank:
        fields |= {"length_reg": Register.VALUE_STEPS}
        step.load_ring(core, Ring.KV, role, region.buffer, region.stripes, fields)
        return region.stripes
    kept = reach.kept // config.chain_length * stripes
    first = tiles.start * tile
    if kept:
        step.load_ring(core, Ring.KV, f"{role}, kept", region.buffer, kept, {"address": first, "length": kept})
    fields |= {
        "address": first + kept,
        "address_reg": PatternRegister.VALUE_SKIP,
        "length_reg": PatternRegister.RUN_VALUE_STEPS,
        "bank": reach.bank,
    }
    step.load_ring(core, Ring.KV, role, region.buffer, len(tiles) * reach.value_steps * stripes - kept, fields)
    return len(tiles) * reach.value_steps * stripes
