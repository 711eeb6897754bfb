"""What each kernel of a step costs: arithmetic, and the bytes that cross its edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosyn.ir.graph import Graph
from cosyn.ir.ops import OPS, node_cost
from cosyn.ir.types import bind_dim
from cosyn.passes.fuse import FusionPlan, Group


@dataclass(frozen=True, slots=True)
class KernelCost:
    """Work of one kernel: `ops` (a multiply-add counts 2), bytes `read` and `written`, weights and state
    included.
    """

    group: str
    kind: str
    ops: int
    read: int
    written: int

    @property
    def intensity(self) -> float:
        """Operations per byte moved: what a roofline asks for."""
        moved = self.read + self.written
        return self.ops / moved if moved else 0.0


def kernel_costs(graph: Graph, plan: FusionPlan, bindings: Mapping[str, int]) -> list[KernelCost]:
    """One entry per kernel, in order, at the sizes `bindings`: `seq`, `out`, and `past` cached positions."""
    return [_cost(graph, group, dict(bindings)) for group in plan.kernels]


def _cost(graph: Graph, group: Group, bindings: dict[str, int]) -> KernelCost:
    ops = read = state_written = 0
    # Values made inside stay inside, and what several nodes read comes in once; what an op picks from a
    # larger value (a slice, rows of a table) is all that it reads.
    inside = {r for name in group.nodes for r in graph.producers[name].results}
    known = set(inside)
    for name in group.nodes:
        node = graph.producers[name]
        cost = node_cost(graph, node)
        ops += bind_dim(cost.ops, bindings)
        picks = OPS[node.op].read is not None
        if not (picks and inside & set(node.operands)):
            read += bind_dim(cost.read, bindings)
        if not picks:
            read -= sum(bind_dim(graph.types[r].nbytes, bindings) for r in node.operands if r in known)
            known |= set(node.operands)
        if node.op == "kv_append":
            state_written += bind_dim(cost.written, bindings)
    written = sum(bind_dim(graph.types[r].nbytes, bindings) for r in group.outputs)
    return KernelCost(group.name, group.kind, ops, read, written + state_written)
