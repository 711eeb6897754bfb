"""Which linears choose experts: their results decide a path, so they stay in full precision."""

from __future__ import annotations

from cosyn.ir.graph import Graph


def routers(graph: Graph) -> frozenset[str]:
    """Names of the linears whose result reaches a `topk` through ops that keep the row's width."""
    found = set()
    for node in graph.nodes:
        if node.op != "topk":
            continue
        pending = [node.operands[0]]
        while pending:
            producer = graph.producer(pending.pop())
            if producer is None or producer.type.shape[-1:] != graph.types[node.operands[0]].shape[-1:]:
                continue
            if producer.op == "linear":
                found.add(producer.name)
            elif producer.op not in ("moe", "expert_linear"):
                pending += [r for r in producer.operands if r.startswith("%")]
    return frozenset(found)
