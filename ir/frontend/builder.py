"""Builds a graph node by node, and rewrites one by rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.node import NO_ATTRS, Location, Node
from cosyn.ir.ops import make_node
from cosyn.ir.ops.elementwise import CastAttrs, ScalarAttrs
from cosyn.ir.ops.movement import ReshapeAttrs, TransposeAttrs
from cosyn.ir.types import Dim, TensorType

Rule = Callable[["GraphBuilder", Node], str | None]
"""Looks at a node whose operands are already rewritten; returns the reference that replaces it, or None."""


class GraphBuilder:
    """An SSA list under construction: `types` of every reference, nodes in order, unique names."""

    def __init__(self, types: Mapping[str, TensorType], reserved: Iterable[str] = ()) -> None:
        self.types: dict[str, TensorType] = dict(types)
        self.nodes: list[Node] = []
        self.location = Location()
        self._producers: dict[str, Node] = {}
        self._names: set[str] = set(reserved)
        self._counts: dict[str, int] = {}
        self._scalars: dict[tuple[float, DType], str] = {}

    def emit(self, op: str, operands: Sequence[str], attrs: object = NO_ATTRS, name: str = "") -> str:
        """Append a node and return the reference to its first result; OpError where the op refuses."""
        node = make_node(self.unique(name or op), op, operands, [self.types[r] for r in operands], attrs, self.location)
        self.append(node)
        return node.ref

    def append(self, node: Node) -> None:
        """Add a node as it is."""
        self.nodes.append(node)
        self._names.add(node.name)
        for ref, result in zip(node.results, node.types, strict=True):
            self.types[ref] = result
            self._producers[ref] = node

    def unique(self, name: str) -> str:
        """`name`, numbered if it is taken."""
        candidate = name
        while candidate in self._names:
            self._counts[name] = self._counts.get(name, 0) + 1
            candidate = f"{name}_{self._counts[name]}"
        return candidate

    def producer(self, ref: str, *ops: str) -> Node | None:
        """The node that computes `ref`, if its op is among `ops` (any op if none is given)."""
        node = self._producers.get(ref)
        return node if node is not None and (not ops or node.op in ops) else None

    def shape(self, ref: str) -> tuple[Dim, ...]:
        return self.types[ref].shape

    def scalar(self, value: float, dtype: DType = DType.F32) -> str:
        """A number, shared by all that ask for the same one."""
        found = self._scalars.get((value, dtype))
        if found is None:
            found = self.emit("scalar", (), ScalarAttrs(value, dtype))
            self._scalars[value, dtype] = found
        return found

    def scalar_value(self, ref: str) -> float | None:
        """The number that `ref` is, or None where it is not one known now."""
        node = self.producer(ref, "scalar", "cast")
        if node is None:
            return None
        return node.attrs.value if isinstance(node.attrs, ScalarAttrs) else self.scalar_value(node.operands[0])

    def reshape(self, ref: str, shape: Sequence[Dim]) -> str:
        """`ref` with another shape; itself where it has that shape."""
        return ref if self.shape(ref) == tuple(shape) else self.emit("reshape", [ref], ReshapeAttrs(tuple(shape)))

    def transpose(self, ref: str, perm: Sequence[int]) -> str:
        """`ref` with its axes permuted; itself where they keep their order."""
        if tuple(perm) == tuple(range(len(perm))):
            return ref
        return self.emit("transpose", [ref], TransposeAttrs(tuple(perm)))

    def as_f32(self, ref: str) -> str:
        """`ref` as f32: what arithmetic needs of a weight that is stored narrower."""
        return ref if self.types[ref].dtype is DType.F32 else self.emit("cast", [ref], CastAttrs(DType.F32))


def rewrite(graph: Graph, *rules: Rule) -> Graph:
    """`graph` with each node given to the rules in turn, operands first; then without what nobody uses."""
    builder = GraphBuilder(
        {ref: t for ref, t in graph.types.items() if not (ref.startswith("%") and graph.producer(ref))},
        (n.name for n in graph.nodes),
    )
    renamed: dict[str, str] = {}
    for old in graph.nodes:
        node = replace(old, operands=tuple(renamed.get(r, r) for r in old.operands))
        builder.location = node.location
        for rule in rules:
            ref = rule(builder, node)
            if ref is not None:
                renamed[node.ref] = ref
                break
        else:
            builder.append(node)
    outputs = tuple(renamed.get(r, r) for r in graph.outputs)
    return remove_dead(replace(graph, nodes=tuple(builder.nodes), outputs=outputs))


def remove_dead(graph: Graph) -> Graph:
    """`graph` without nodes and weights that no output depends on."""
    live = set(graph.outputs)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.results):
            nodes.append(node)
            live.update(node.operands)
    return replace(
        graph,
        nodes=tuple(reversed(nodes)),
        weights=tuple(w for w in graph.weights if f"@{w.name}" in live),
        inputs=tuple(i for i in graph.inputs if f"%{i.name}" in live or i.name in KEPT_INPUTS),
    )


KEPT_INPUTS = ("token_ids", "positions")
