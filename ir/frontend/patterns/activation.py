"""Recognises activation functions that a model spells out, by comparing values."""

from __future__ import annotations

import numpy as np

from cosyn.ir.frontend.builder import GraphBuilder, rewrite
from cosyn.ir.frontend.patterns.region import Region, RegionFinder
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.elementwise import BINARY, UNARY

_OPS = frozenset(UNARY) | frozenset(BINARY) | {"scalar", "cast"}
_CURVED = {"tanh", "sigmoid", "exp"}
_NAMED = ("silu", "gelu", "gelu_tanh")
_GRID = np.linspace(-8, 8, 161)
# Spelled-out constants have eight or more digits; the two forms of GELU differ by 5e-4.
_TOLERANCE = 1e-7


def recognise_activations(graph: Graph) -> Graph:
    """`graph` with `0.5 · x · (1 + tanh(…))` and the like as one node."""
    finder = RegionFinder(graph)
    known: dict[tuple[object, ...], str | None] = {}
    found: dict[str, tuple[str, str]] = {}
    for node in reversed(graph.nodes):
        region = finder.region(node, _OPS) if node.op in ("mul", "div") else None
        if region is None or _CURVED.isdisjoint(n.op for n in region.nodes):
            continue
        signature = region.signature
        if signature not in known:
            known[signature] = _name(region)
        name = known[signature]
        if name is not None:
            found[node.name] = (name, region.x)
    if not found:
        return graph

    renamed: dict[str, str] = {}

    def rule(builder: GraphBuilder, node: Node) -> str | None:
        if node.name not in found:
            return None
        name, x = found[node.name]
        renamed[node.ref] = builder.emit(name, [renamed.get(x, x)])
        return renamed[node.ref]

    return rewrite(graph, rule)


def _name(region: Region) -> str | None:
    with np.errstate(all="ignore"):
        values = region.run({region.x: _GRID}, 1)
        for name in _NAMED:
            if np.allclose(UNARY[name][1](_GRID), values, rtol=0, atol=_TOLERANCE):
                return name
    return None
