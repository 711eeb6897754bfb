"""The memory of every core: one region for each thing that programs load or store."""

from __future__ import annotations

from cosyn.accelerator_model.program import registers_for
from cosyn.codegen.fpga.memory_map import MemoryMap, Region
from cosyn.codegen.fpga.parameters import MAX_TOKENS, Parameters, tables
from cosyn.codegen.fpga.plan_records import Plan


class Layout:
    """A plan with its memory: regions by name, per core."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.parameters = Parameters(plan)
        self.tables = tables(plan)
        config = plan.config
        words = config.stripe_bytes // 4
        self.table_lines = sum(lines for _, lines in self.tables.values())
        """Lines of a position's row of cosines and sines."""
        self.has_positions = any(a.attention.attrs.alibi for a in plan.attentions.values())
        rope_stripes = -(-self.table_lines // config.stripe_lines)
        position_stripes = -(-MAX_TOKENS // words) if self.has_positions else 0
        self.rope_row_stripes = rope_stripes + position_stripes
        """Stripes of a position in the table: its rotary row, then its number and those after it."""
        self.position_stripe = rope_stripes
        self.input_row_stripes = {node.name: -(-int(node.type.shape[-1]) // words) for node in plan.roles.inputs}
        self.maps = tuple(self._map(core) for core in range(config.cores))

    def registers(self, position: int, tokens: int) -> dict[int, int]:
        """What the host writes before a step of `tokens` tokens whose first is at `position`."""
        return registers_for(self.plan.config, position, tokens, self.rope_row_stripes, self.plan.patterns)

    def span_at(self, position: int) -> int:
        """The span that has the programs for `position`."""
        return next(n for n, span in enumerate(self.plan.spans) if position <= span.last)

    def region(self, core: int, name: str) -> Region:
        """A region of a core."""
        return self.maps[core][name]

    def _map(self, core: int) -> MemoryMap:
        plan, config = self.plan, self.plan.config
        found = MemoryMap()
        for node in plan.roles.inputs:
            found.add(f"input {node.name}", "input", MAX_TOKENS * self.input_row_stripes[node.name])
        output = plan.graph.outputs[0]
        places = len(plan.placements[output].cores[core])
        found.add("logits", "output", -(-places * 4 // config.stripe_bytes))
        if self.rope_row_stripes:
            found.add("positions", "table", plan.max_seq * self.rope_row_stripes)
        if self.has_positions:
            columns = max(a.key_tiles for a in plan.attentions.values()) * config.tile_columns
            found.add("columns", "table", -(-(columns + config.chain_length) * 4 // config.stripe_bytes))
        for block in self.parameters.blocks:
            if block.lines:
                found.add(f"parameters {block.number}", "parameters", self.parameters.stripes(block))
        for linear in plan.linears.values():
            if linear.tiles[core]:
                stripes = linear.tiles[core] * linear.tile_words * config.ring_reads
                found.add(f"weights {linear.node.name}", "weights", stripes)
        if plan.penalties.stripes[core]:
            found.add("penalties", "mask", plan.penalties.stripes[core])
        self._caches(found, core)
        return found

    def _caches(self, found: MemoryMap, core: int) -> None:
        config = self.plan.config
        step = 2 * config.ring_reads
        for attention in self.plan.attentions.values():
            heads = attention.heads[core].kv_heads
            if heads:
                # Scales of keys and values of all heads lie evenly, so that one load takes them all.
                found.add(f"scales {attention.name}", "cache", 2 * len(heads) * attention.scale_stripes)
            for head in heads:
                keys = attention.key_tiles * attention.key_steps * step
                values = attention.value_tiles * attention.value_steps * step
                found.add(f"keys {attention.name}.{head}", "cache", keys)
                found.add(f"values {attention.name}.{head}", "cache", values)
