"""Parts of a graph that compute one value from another, found by dominance and judged by running them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import networkx as nx

from cosyn.ir.frontend.positional import Array
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import bind_attrs
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS

_LARGEST = 48  # nodes of a region; those of interest have fewer than 20
_CLIMBED = 4  # values passed on the way: joins and reshapes at the end of a region
_ENTRY = ""


@dataclass(frozen=True)
class Region:
    """Everything between `x` (a reference) and the last node, in order."""

    x: str
    nodes: tuple[Node, ...]

    @property
    def root(self) -> Node:
        return self.nodes[-1]

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for regions that compute the same function of x."""
        local = {self.x: "x"} | {n.ref: f"{i}" for i, n in enumerate(self.nodes)}
        return tuple((n.op, n.attrs, tuple(local.get(r, r) for r in n.operands)) for n in self.nodes)

    def run(self, values: Mapping[str, Array], tokens: int) -> Array:
        """The result for the given values of x and of the references that come from outside."""
        env = dict(values)
        for node in self.nodes:
            attrs = bind_attrs(node.attrs, {"seq": tokens})
            env[node.ref] = OPS[node.op].reference(attrs, *(env[r] for r in node.operands))
        return env[self.root.ref]


class RegionFinder:
    """Finds, for a node, the nearest value that all its data comes from, and the nodes between the two.

    `factors` are references that may be read from outside a region.
    """

    def __init__(self, graph: Graph, factors: Collection[str] = ()) -> None:
        self.graph = graph
        self.factors = frozenset(factors)
        data = nx.DiGraph()
        for node in graph.nodes:
            for ref in node.operands:
                producer = graph.producer(ref)
                if producer is not None and producer.name in data:
                    data.add_edge(producer.name, node.name)
                elif ref == "%token_ids":
                    data.add_edge(_ENTRY, node.name)
        self._order = {node.name: i for i, node in enumerate(graph.nodes)}
        self._dominators = nx.immediate_dominators(data, _ENTRY) if _ENTRY in data else {}

    def region(self, root: Node, ops: Collection[str]) -> Region | None:
        """The region that ends at `root`, if x has its type and only `ops` lie between."""
        x = self._source(root) if root.op in ops else None
        if x is None:
            return None
        names: set[str] = set()
        pending = [root]
        while pending:
            node = pending.pop()
            if node.name in names or node.name == x.name:
                continue
            if node.op not in ops or len(names) > _LARGEST:
                return None
            names.add(node.name)
            for ref in node.operands:
                producer = self.graph.producer(ref)
                if producer is not None:
                    pending.append(producer)
                elif ref not in self.factors:
                    return None
        nodes = sorted(names, key=self._order.__getitem__)
        return Region(x.ref, tuple(self.graph.producers[n] for n in nodes)) if len(nodes) > 1 else None

    def _source(self, root: Node) -> Node | None:
        """The nearest node of the type of `root` that all its data comes through."""
        name = root.name
        for _ in range(_CLIMBED):
            name = self._dominators.get(name) or _ENTRY
            if name == _ENTRY:
                return None
            if self.graph.producers[name].type == root.type:
                return self.graph.producers[name]
        return None
