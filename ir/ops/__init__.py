"""The op table: every op of the IR by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy

from cosyn.ir.graph import Graph, KVState
from cosyn.ir.node import NO_ATTRS, Location, Node
from cosyn.ir.ops import attention, contraction, elementwise, movement, row
from cosyn.ir.ops.op import Cost, Kind, Op, OpError
from cosyn.ir.types import PAST, Dim, TensorType

OPS: dict[str, Op] = {op.name: op for table in (elementwise, movement, row, contraction, attention) for op in table.OPS}


def make_node(
    name: str,
    op: str,
    operands: Sequence[str],
    types: Sequence[TensorType],
    attrs: object = NO_ATTRS,
    location: Location = Location(),  # noqa: B008 - frozen
) -> Node:
    """A node with its result types inferred from the operand `types`; OpError where the op refuses them."""
    declared = OPS[op]
    low, high = declared.arity
    if not low <= len(operands) <= high:
        raise OpError(f"{op} takes {low}..{high} operands, found {len(operands)}")
    return Node(name, op, tuple(operands), declared.infer(attrs, types), attrs, location)


def node_cost(graph: Graph, node: Node) -> Cost:
    """Arithmetic and bytes of one node of `graph`; KV state counts as that of one sequence, read once."""
    cost = OPS[node.op].cost(node.attrs, [graph.types[r] for r in node.operands], node.types)
    if node.op == "kv_append":
        tokens = graph.types[node.operands[1]].shape[0]
        return replace(cost, written=cost.written + tokens * _state(graph, node.operands[0]).bytes_per_token)
    if node.op == "attend":
        state = _state(graph, node.operands[1])
        seen: Dim = PAST + graph.types[node.operands[0]].shape[0]
        if state.window:
            seen = sympy.Min(seen, state.window + state.sinks)
        return replace(cost, read=cost.read + seen * state.bytes_per_token)
    return cost


def _state(graph: Graph, ref: str) -> KVState:
    """The state behind a reference: `$name`, or what a kv_append returned."""
    writer = graph.producer(ref)
    return graph.state(ref) if writer is None else _state(graph, writer.operands[0])


__all__ = ["OPS", "Cost", "Kind", "Op", "OpError", "make_node", "node_cost"]
