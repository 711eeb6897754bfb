"""Groups nodes into kernels: which values never reach memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS, Kind
from cosyn.passes.fusion_rules import (
    are_siblings,
    is_generic,
    is_view,
    joins_as_epilogue,
    row_aligned_producers,
    takes_in_rows,
    worth,
)


@dataclass(frozen=True)
class Group:
    """The nodes of one kernel, or of a `view`, which is no kernel but another shape of the same memory.

    `anchor` names the node that decides the schedule. `inputs` are the references read from outside (values,
    weights, constants, states) in order of first use; `outputs` those of its results that others need. A
    `scalar` and a `reshape` may be in several groups, since repeating them costs nothing.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    anchor: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class FusionPlan:
    """All groups in an order in which they can run."""

    groups: tuple[Group, ...]

    @cached_property
    def kernels(self) -> tuple[Group, ...]:
        """The groups that run: all but views."""
        return tuple(g for g in self.groups if g.kind != "view")


def fuse(graph: Graph) -> FusionPlan:
    """The groups of `graph`.

    A node joins the groups of its operands where four things hold.

    - Shape: an elementwise node of a linear's full shape becomes its epilogue, if it is the only reader; any
      other node, and an append to a state, joins elementwise, gather and row groups that run over the same first
      axis.
    - Convexity: no value leaves the group and comes back into it through another group.
    - Benefit: some value is then passed on inside the kernel instead of through memory.
    - Cost: values inside a kernel are computed again for each reader; joining may add at most
      `fusion_rules.OPS_PER_BYTE` operations per byte that it saves.

    Then each append takes in the groups before it that make rows from what its own are made from: queries, cut from
    the same product as the keys or turned by the same angles. Appends, linears, experts, attention, top-k and matrix
    products each anchor a group of their own.
    """
    return _Fuser(graph).plan()


class _Building:
    """A group under construction: its nodes by position in the graph."""

    def __init__(self, position: int, node: Node) -> None:
        self.nodes = {position: node}

    @property
    def first(self) -> int:
        return min(self.nodes)

    @property
    def last(self) -> int:
        return max(self.nodes)


def _is_generic(group: _Building) -> bool:
    return all(is_generic(n) for n in group.nodes.values())


class _Fuser:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {n.name: i for i, n in enumerate(graph.nodes)}
        self.group_of: dict[str, _Building] = {}

    def plan(self) -> FusionPlan:
        for position, node in enumerate(self.graph.nodes):
            if node.op == "scalar":
                continue
            building = _Building(position, node)
            self.group_of[node.name] = building
            if is_view(self.graph, node):
                continue
            host = self._epilogue_host(node)
            if host is not None:
                self._merge(host, [building])
            elif takes_in_rows(node):
                self._join_producers(node, building)
        # At last: what can join the kernel that reads it is better there.
        for append in [n for n in self.graph.nodes if n.op == "kv_append"]:
            self._join_siblings(self.group_of[append.name])
        return self._finish()

    def _epilogue_host(self, node: Node) -> _Building | None:
        """The linear's group that `node` can end; the latest, so that its other operands exist by then."""
        hosts = []
        for ref in dict.fromkeys(node.operands):
            producer = self.graph.producer(ref)
            if producer is None or producer.op == "scalar":
                continue
            group = self.group_of[producer.name]
            if joins_as_epilogue(self.graph, list(group.nodes.values()), producer, node):
                hosts.append(group)
        hosts.sort(key=lambda g: -g.last)
        return next((g for g in hosts if self._convex([g], [node])), None)

    def _join_producers(self, node: Node, own: _Building) -> None:
        for producer, between in row_aligned_producers(self.graph, node):
            group = self.group_of[producer.name]
            if group is own or not _is_generic(group):
                continue
            extra = [n for n in between if n.name not in {m.name for m in own.nodes.values()}]
            parts = [group.nodes, own.nodes | {self.position[n.name]: n for n in extra}]
            if self._convex([group, own], [node, *extra]) and worth(self.graph, parts):
                for n in extra:
                    own.nodes[self.position[n.name]] = n
                self._merge(group, [own])
                own = group

    def _join_siblings(self, append: _Building) -> None:
        for group in self._buildings():
            if (
                group.last < append.last
                and _is_generic(group)
                and are_siblings(self.graph, append.nodes.values(), group.nodes.values())
                and self._convex([append, group], [])
            ):
                self._merge(append, [group])

    def _merge(self, into: _Building, others: Iterable[_Building]) -> None:
        for other in others:
            into.nodes |= other.nodes
        for node in into.nodes.values():
            # A reshape keeps its view group beside the copies inside others.
            if node.op != "reshape" or not is_view(self.graph, node):
                self.group_of[node.name] = into

    def _convex(self, groups: list[_Building], nodes: list[Node]) -> bool:
        """Whether `groups` and `nodes` as one group have no path out and back in.

        Walks backwards from what they read; nodes before the first member cannot be on such a path.
        """
        first = min(g.first for g in groups)
        together = [*nodes, *(n for g in groups for n in g.nodes.values())]
        members = {n.name for n in together}
        pending = [r for n in together for r in n.operands]
        outside: set[int] = set()
        while pending:
            producer = self.graph.producer(pending.pop())
            if producer is None or producer.name in members or producer.op == "scalar":
                continue
            group = self.group_of[producer.name]
            if id(group) in outside or group.last < first:
                continue
            outside.add(id(group))
            for n in group.nodes.values():
                for ref in n.operands:
                    source = self.graph.producer(ref)
                    if source is not None and source.name in members:
                        return False
                    pending.append(ref)
        return True

    def _finish(self) -> FusionPlan:
        buildings = self._buildings()
        read = self._read_from_outside(buildings)
        live = [b for b in buildings if any(r in read for n in b.nodes.values() for r in n.results)]
        return FusionPlan(tuple(self._group(b, read) for b in self._ordered(live)))

    def _buildings(self) -> list[_Building]:
        return list({id(b): b for b in self.group_of.values()}.values())

    def _read_from_outside(self, buildings: list[_Building]) -> set[str]:
        """References that a group needs from another, or the caller from the graph."""
        read = set(self.graph.outputs)
        # A cache is written for the next step, whether or not this one reads it.
        read |= {n.ref for n in self.graph.nodes if n.op == "kv_append"}
        # Backwards, so that a view that nobody reads asks for nothing.
        for building in sorted(buildings, key=lambda b: -b.last):
            nodes = list(building.nodes.values())
            if len(nodes) == 1 and is_view(self.graph, nodes[0]) and nodes[0].ref not in read:
                continue
            read |= set(self._inputs(building))
        return read

    def _inputs(self, building: _Building) -> list[str]:
        ordered = [n for _, n in sorted(building.nodes.items())]
        inside = {r for n in ordered for r in n.results}
        refs = dict.fromkeys(r for n in ordered for r in n.operands if r not in inside)
        return [r for r in refs if not self._is_scalar(r)]

    def _is_scalar(self, ref: str) -> bool:
        producer = self.graph.producer(ref)
        return producer is not None and producer.op == "scalar"

    def _group(self, building: _Building, read: set[str]) -> Group:
        ordered = [n for _, n in sorted(building.nodes.items())]
        scalars = [self.graph.producer(r) for n in ordered for r in n.operands if self._is_scalar(r)]
        named = dict.fromkeys(n.name for n in scalars if n is not None)
        kind, anchor = self._kind(ordered)
        needed = self._needed(building, read)
        outputs = tuple(r for n in ordered for r in n.results if r in needed)
        return Group(
            anchor.name, kind, (*named, *(n.name for n in ordered)), anchor.name,
            tuple(self._inputs(building)), outputs,
        )  # fmt: skip

    def _needed(self, building: _Building, read: set[str]) -> set[str]:
        """Results to write: not those of a reshape that another group, the view, provides."""
        own = {n.name for n in building.nodes.values() if self.group_of[n.name] is building}
        return {r for n in building.nodes.values() if n.name in own for r in n.results if r in read}

    def _kind(self, nodes: list[Node]) -> tuple[str, Node]:
        if len(nodes) == 1 and is_view(self.graph, nodes[0]):
            return "view", nodes[0]
        for node in nodes:
            if not is_generic(node) and node.op != "reshape":
                return node.op, node
        rows = [n for n in nodes if OPS[n.op].kind is Kind.ROW]
        if rows:
            return "quantize_rows" if [n.op for n in rows] == ["quantize_rows"] else "row", rows[-1]
        gathers = [n for n in nodes if OPS[n.op].kind is Kind.GATHER]
        return ("gather", gathers[-1]) if gathers else ("elementwise", nodes[-1])

    def _ordered(self, buildings: list[_Building]) -> list[_Building]:
        """Each group after those whose results it reads, and otherwise in the order of the graph."""
        producer = {r: b for b in buildings for n in b.nodes.values() for r in n.results
                    if self.group_of[n.name] is b}  # fmt: skip
        waiting: dict[int, set[int]] = {}
        readers: dict[int, list[_Building]] = {}
        for b in buildings:
            sources = {id(producer[r]): producer[r] for r in self._inputs(b) if r in producer}
            waiting[id(b)] = set(sources)
            for source in sources:
                readers.setdefault(source, []).append(b)
        ready = [(b.last, id(b), b) for b in buildings if not waiting[id(b)]]
        heapq.heapify(ready)
        order = []
        while ready:
            _, key, building = heapq.heappop(ready)
            order.append(building)
            for reader in readers.get(key, ()):
                waiting[id(reader)].discard(key)
                if not waiting[id(reader)]:
                    heapq.heappush(ready, (reader.last, id(reader), reader))
        return order
