"""Instructions for the rotary embedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.sequences import Passes
from cosyn.codegen.fpga.bindings import Binding, Extent, Vectors
from cosyn.codegen.fpga.lower_rows import head_rows, operand
from cosyn.codegen.fpga.roles import Role
from cosyn.codegen.fpga.step import Step
from cosyn.ir.node import Node


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
