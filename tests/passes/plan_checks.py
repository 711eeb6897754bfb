"""What must hold for every fusion plan and every memory plan."""

from __future__ import annotations

from itertools import combinations

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.passes.arena_requests import ALIGNMENT
from cosyn.passes.fuse import FusionPlan
from cosyn.passes.plan_memory import MemoryPlan


def check_fusion(graph: Graph, plan: FusionPlan) -> None:
    """Groups are in order, name what they read and write, and hold every needed node once."""
    known = {f"%{i.name}" for i in graph.inputs} | {r for r in graph.types if r[0] in "@$"}
    homes: dict[str, int] = {}
    for group in plan.groups:
        assert set(group.inputs) <= known, f"{group.name} reads {set(group.inputs) - known} too early"
        local = set(group.inputs)
        for name in group.nodes:
            node = graph.producers[name]
            assert set(node.operands) <= local, f"{group.name}: {name} reads what is not there"
            local |= set(node.results)
            homes[name] = homes.get(name, 0) + 1
        assert set(group.outputs) <= local - set(group.inputs)
        assert group.anchor in group.nodes
        assert not known & set(group.outputs), f"{group.name} writes a value that exists"
        known |= set(group.outputs)
    assert set(graph.outputs) <= known
    assert len({g.name for g in plan.groups}) == len(plan.groups)
    for name, count in homes.items():
        assert count == 1 or graph.producers[name].op in ("scalar", "reshape"), f"{name} is computed {count} times"


def check_memory(graph: Graph, plan: FusionPlan, memory: MemoryPlan) -> None:
    """No two live buffers overlap, every value of the step has a place, and the lower bound is honest."""
    for (a, x), (b, y) in combinations(memory.buffers.items(), 2):
        together = x.first <= y.last and y.first <= x.last
        apart = x.offset + x.nbytes <= y.offset or y.offset + y.nbytes <= x.offset
        assert apart or not together, f"{a} and {b} overlap"
    for buffer in memory.buffers.values():
        assert buffer.offset % ALIGNMENT == 0
        assert buffer.offset + buffer.nbytes <= memory.arena_bytes
    for index, group in enumerate(plan.groups):
        for ref in (*group.inputs, *group.outputs):
            type_ = graph.types[ref]
            if ref[0] != "%" or ref in graph.outputs or type_.dtype is DType.STATE:
                continue
            if ref[1:] in {i.name for i in graph.inputs}:
                continue
            home = memory.buffers[memory.root(ref)]
            assert home.first <= index <= home.last, f"{ref} is used by {group.name} outside its life"
    assert memory.arena_bytes >= memory.lower_bound_bytes
    live = [sum(b.nbytes for b in memory.buffers.values() if b.first <= t <= b.last) for t in range(len(plan.groups))]
    assert memory.lower_bound_bytes >= max(live, default=0)
