"""Rebuilds a graph node by node, with replaced references: the way that every pass changes a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosyn.ir.graph import Graph, Input, Weight
from cosyn.ir.node import NO_ATTRS, Location, Node
from cosyn.ir.ops import make_node
from cosyn.ir.types import TensorType


class Rewriter:
    """A graph under construction: nodes are emitted in order and old references redirected to new ones.

    Starts with the declarations of `graph` and no nodes; `finish` gives the new graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: dict[str, TensorType] = dict(graph.types)
        self.nodes: list[Node] = []
        self.constants: list[Node] = list(graph.constants)
        self.inputs: list[Input] = list(graph.inputs)
        self.weights: list[Weight] = list(graph.weights)
        self._redirect: dict[str, str] = {}
        self._names = {n.name for n in (*graph.nodes, *graph.constants)}
        self._names |= {i.name for i in graph.inputs} | {w.name for w in graph.weights}
        self._names |= {s.name for s in graph.states}

    def fresh(self, hint: str) -> str:
        """A name that nothing in the graph has: `hint`, or `hint_1`, …"""
        name, count = hint, 0
        while name in self._names:
            count += 1
            name = f"{hint}_{count}"
        self._names.add(name)
        return name

    def resolve(self, ref: str) -> str:
        """What `ref` of the old graph is called in the new one."""
        while ref in self._redirect:
            ref = self._redirect[ref]
        return ref

    def redirect(self, old: str, new: str) -> None:
        """From here on, `new` stands where the old graph has `old`."""
        if old != new:
            self._redirect[old] = new

    def keep(self, node: Node) -> Node:
        """Emit `node` of the old graph with resolved operands; its types are taken as they are."""
        operands = tuple(self.resolve(r) for r in node.operands)
        kept = node if operands == node.operands else replace(node, operands=operands)
        return self.append(kept)

    def append(self, node: Node) -> Node:
        """Emit `node` as it is."""
        self.nodes.append(node)
        self._names.add(node.name)
        self.types |= zip(node.results, node.types, strict=True)
        return node

    def emit(
        self,
        name: str,
        op: str,
        operands: Sequence[str],
        attrs: object = NO_ATTRS,
        location: Location = Location(),  # noqa: B008 - frozen
    ) -> Node:
        """Emit a new node of exactly this name, its types inferred from operands of the new graph."""
        return self.append(make_node(name, op, operands, [self.types[r] for r in operands], attrs, location))

    def constant(
        self,
        hint: str,
        op: str,
        operands: Sequence[str],
        attrs: object = NO_ATTRS,
        location: Location = Location(),  # noqa: B008 - frozen
    ) -> str:
        """Add a constant computed from weights and other constants; returns its reference `@name`."""
        types = [self.types[r] for r in operands]
        node = make_node(self.fresh(hint), op, operands, types, attrs, location)
        return self.add_constant(node)

    def add_constant(self, node: Node) -> str:
        """Add `node` to the constants as it is; returns its reference `@name`."""
        self.constants.append(node)
        self._names.add(node.name)
        self.types[f"@{node.name}"] = node.type
        return f"@{node.name}"

    def finish(self) -> Graph:
        """The new graph, outputs resolved."""
        return replace(
            self.graph,
            inputs=tuple(self.inputs),
            weights=tuple(self.weights),
            nodes=tuple(self.nodes),
            constants=tuple(self.constants),
            outputs=tuple(self.resolve(r) for r in self.graph.outputs),
        )


def without_dead(graph: Graph) -> Graph:
    """The graph without nodes, constants and weights that no output or state needs.

    Inputs and states are the caller's side of the contract and stay.
    """
    live = set(graph.outputs)
    nodes = []
    for node in reversed(graph.nodes):
        # Writing state is an effect: it counts even where nothing in this step reads it.
        if node.op == "kv_append" or any(r in live for r in node.results):
            nodes.append(node)
            live |= set(node.operands)
    constants = []
    for node in reversed(graph.constants):
        if f"@{node.name}" in live:
            constants.append(node)
            live |= set(node.operands)
    weights = tuple(w for w in graph.weights if f"@{w.name}" in live)
    if (len(nodes), len(constants), len(weights)) == (
        len(graph.nodes), len(graph.constants), len(graph.weights),
    ):  # fmt: skip
        return graph
    return replace(graph, nodes=tuple(reversed(nodes)), constants=tuple(reversed(constants)), weights=weights)
