"""Which heads of an attention each core has, and the sizes of its cache there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosyn.accelerator_model.cache_pattern import CachePattern
from cosyn.accelerator_model.cache_spans import SpanPattern
from cosyn.accelerator_model.config import REGISTER_BANKS
from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.heads import HeadOrder, assign_heads, head_order
from cosyn.codegen.fpga.layout import PADDING, Columns, Placement, concatenate, round_up
from cosyn.codegen.fpga.mask_plan import MaskPlanner
from cosyn.codegen.fpga.plan_records import AttentionPlan, Plan
from cosyn.codegen.fpga.roles import NORMS, Attention, Roles
from cosyn.codegen.fpga.views import is_view
from cosyn.ir.ops.attention import RopeAttrs


def plan_attention(plan: Plan, attention: Attention) -> AttentionPlan:
    """Heads on cores, the order of their elements, and the sizes of the cache."""
    config, graph, roles = plan.config, plan.graph, plan.roles
    query = graph.types[attention.node.operands[0]]
    heads, size = int(query.shape[1]), int(query.shape[2])
    state = attention.state
    cores = assign_heads(heads, state.n_kv_heads, config.cores)
    rope = _rope_before(roles, attention.node.operands[0])
    order = head_order(size, rope, config.lanes)
    value = head_order(state.v_dim, None, config.lanes)
    # A dot product needs query and key in the same places, so the key's pairs must be the query's.
    key_rope = _rope_before(roles, attention.append.operands[1])
    key = head_order(size, key_rope, config.lanes)
    if not np.array_equal(key.slots, order.slots):
        raise UnsupportedError([f"%{attention.node.name}: queries and keys that turn by different pairs"])
    output = Placement(tuple(concatenate([head_columns(value, h) for h in c.q_heads]) for c in cores), False)
    words = config.stripe_bytes // 4
    key_steps = -(-order.width // config.chain_length)
    window, sinks = _visible(attention, plan.max_seq)
    mask = plan.masks.get(attention.node.name)
    bank, pattern = (0, None) if mask is not None else _pattern(plan, attention, key_steps, window, sinks)
    found = AttentionPlan(
        attention,
        cores,
        order,
        key,
        value,
        key_steps,
        -(-plan.max_seq // config.tile_columns),
        -(-value.width // config.tile_columns),
        -(-plan.max_seq // config.chain_length),
        -(-round_up(plan.max_seq, config.tile_columns) // words),
        output,
        window,
        sinks,
        bank,
        pattern,
    )
    if mask is None:
        return found
    planner = MaskPlanner(config, cores, mask, window, sinks, key_steps, skips=not attention.attrs.alibi)
    if planner not in plan.masked:
        skipping = planner.pattern(plan.spans)
        bank = _bank(plan, skipping) if skipping is not None else 0
        plan.masked[planner] = bank, planner.plan(plan.spans, plan.penalties, skip=bank > 0)
    bank, reads = plan.masked[planner]
    return replace(found, bank=bank, mask=reads)


def _visible(attention: Attention, max_seq: int) -> tuple[int, int]:
    """Window and sinks; zeros where together they hide nothing of `max_seq` positions."""
    attrs = attention.attrs
    if attrs.window is None or attrs.window + attrs.sinks >= max_seq:
        return 0, 0
    return attrs.window, attrs.sinks


def _pattern(
    plan: Plan, attention: Attention, key_steps: int, window: int, sinks: int
) -> tuple[int, CachePattern | None]:
    """The bank of registers for what the window skips, and what these follow from.

    Bank 0 where it skips no whole unit of the cache, with ALiBi, whose columns are counted from the first position,
    and for patterns beyond those that there are banks for: the mask alone hides what is not seen.
    """
    if not window or attention.attrs.alibi:
        return 0, None
    found = CachePattern.of(plan.config, window, sinks, key_steps)
    if not found.skipped(plan.max_seq - 1):
        return 0, None
    bank = _bank(plan, found)
    return (bank, found) if bank else (0, None)


def _bank(plan: Plan, pattern: CachePattern | SpanPattern) -> int:
    """The bank of a pattern's registers; 0 where there is none left."""
    if pattern not in plan.patterns:
        if len(plan.patterns) == REGISTER_BANKS - 1:
            return 0
        plan.patterns.append(pattern)
    return 1 + plan.patterns.index(pattern)


def _rope_before(roles: Roles, ref: str) -> RopeAttrs | None:
    """How the pairs of the heads in `ref` were turned."""
    node = roles.graph.producer(ref)
    while node is not None:
        if isinstance(node.attrs, RopeAttrs):
            return node.attrs
        if not (is_view(node) or node.op in NORMS):
            return None
        node = roles.graph.producer(node.operands[0])
    return None


def head_columns(order: HeadOrder, head: int) -> Columns:
    """Elements of all heads at the places of one."""
    return np.where(order.slots == PADDING, PADDING, head * order.size + order.slots)
