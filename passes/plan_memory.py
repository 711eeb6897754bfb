"""Lays all values of a step out in one arena: the plan that generated code runs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.ops import OPS, Kind
from cosyn.ir.types import bind_dim
from cosyn.passes.arena import place
from cosyn.passes.arena_requests import ALIGNMENT, Request, peak
from cosyn.passes.fuse import FusionPlan, Group

BOUNDS: Mapping[str, int] = {"seq": 128, "out": 32}
"""Largest step that the arena has room for, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """A value's place: `offset` and `nbytes` in the arena, live from group `first` to group `last`,
    inclusive.
    """

    offset: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """Where every value of a step lies, at the upper `bounds` of its symbolic sizes.

    `buffers` has the values with memory of their own; `aliases` maps a value to the one whose memory it uses:
    a view, or the result of an elementwise group that replaces an operand. Group indices count all groups of
    the fusion plan. `lower_bound_bytes` is what no layout can go below: the most bytes live at once.
    """

    buffers: Mapping[str, Buffer]
    aliases: Mapping[str, str]
    arena_bytes: int
    lower_bound_bytes: int
    bounds: Mapping[str, int] = field(default_factory=dict)

    def root(self, ref: str) -> str:
        """The value whose memory `ref` lies in."""
        while ref in self.aliases:
            ref = self.aliases[ref]
        return ref

    def offset(self, ref: str) -> int:
        """Byte offset of `ref` in the arena; KeyError for what is not in it (inputs, outputs, weights,
        states).
        """
        return self.buffers[self.root(ref)].offset

    @property
    def ratio(self) -> float:
        """Arena bytes over the lower bound: 1 is perfect."""
        return self.arena_bytes / self.lower_bound_bytes if self.lower_bound_bytes else 1.0


def plan_memory(graph: Graph, plan: FusionPlan, bounds: Mapping[str, int] = BOUNDS) -> MemoryPlan:
    """The plan for a step of at most `bounds`: offsets are multiples of 64 bytes.

    Graph inputs, outputs, weights and states lie in memory of the caller. A result takes the place of an
    operand that dies in the same elementwise group, read at the same index and as large; views share their
    operand's.
    """
    aliases = {g.outputs[0]: g_source(graph, g) for g in plan.groups if g.kind == "view"}
    lives = _Lives(graph, plan, aliases)
    _reuse_operands(graph, plan, lives, bounds)
    requests = [
        Request(ref, _rounded(_nbytes(graph, ref, bounds)), first, last) for ref, (first, last) in lives.spans().items()
    ]
    offsets, arena_bytes = place(requests)
    buffers = {r.name: Buffer(offsets[r.name], _nbytes(graph, r.name, bounds), r.first, r.last) for r in requests}
    return MemoryPlan(buffers, lives.aliases, arena_bytes, peak(requests), dict(bounds))


def g_source(graph: Graph, group: Group) -> str:
    """The value that a view group reshapes."""
    return graph.producers[group.anchor].operands[0]


class _Lives:
    """First and last use of every value in the arena; aliases prolong the life of what they point to."""

    def __init__(self, graph: Graph, plan: FusionPlan, aliases: dict[str, str]) -> None:
        self.aliases = aliases
        self._first: dict[str, int] = {}
        self._reads: dict[str, int] = {}
        for index, group in enumerate(plan.groups):
            for ref in group.inputs:
                self._reads[ref] = index
            for ref in group.outputs:
                if ref not in graph.outputs and graph.types[ref].dtype is not DType.STATE:
                    self._first[ref] = index

    def root(self, ref: str) -> str:
        while ref in self.aliases:
            ref = self.aliases[ref]
        return ref

    def spans(self) -> dict[str, tuple[int, int]]:
        """Value with memory of its own → the groups that write it first and read it last."""
        spans: dict[str, tuple[int, int]] = {}
        for ref, first in self._first.items():
            root = self.root(ref)
            last = max(first, self._reads.get(ref, first))
            low, high = spans.get(root, (first, last))
            spans[root] = min(low, first), max(high, last)
        return spans


def _reuse_operands(graph: Graph, plan: FusionPlan, lives: _Lives, bounds: Mapping[str, int]) -> None:
    """Let results of elementwise groups take the place of an operand that dies there."""
    spans = lives.spans()
    for index, group in enumerate(plan.groups):
        if group.kind != "elementwise" or len(group.outputs) != 1 or group.outputs[0] in graph.outputs:
            continue
        result = group.outputs[0]
        for ref in _read_in_place(graph, group):
            root = lives.root(ref)
            if sum(lives.root(r) == root for r in group.inputs) > 1:
                continue  # also read as a view, at other indices
            if root not in spans or spans[root][1] != index or spans[root][0] == index:
                continue
            if _nbytes(graph, root, bounds) == _nbytes(graph, result, bounds):
                lives.aliases[result] = root
                spans[root] = spans[root][0], spans.pop(result)[1]
                break


def _read_in_place(graph: Graph, group: Group) -> list[str]:
    """Inputs that the group reads only at the index that it writes."""
    nodes = [graph.producers[name] for name in group.nodes]
    result = graph.types[group.outputs[0]]
    if any(OPS[n.op].kind is not Kind.ELEMENTWISE for n in nodes):
        return []
    return [
        r for r in group.inputs
        if r.startswith("%") and graph.types[r].shape == result.shape
        and graph.types[r].dtype.bits == result.dtype.bits
    ]  # fmt: skip


def _nbytes(graph: Graph, ref: str, bounds: Mapping[str, int]) -> int:
    return bind_dim(graph.types[ref].nbytes, dict(bounds))


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
