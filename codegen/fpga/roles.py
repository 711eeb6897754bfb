"""What the accelerator does for each node of the graph: the part of the compiler that knows the IR's ops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.views import View, is_view, resolve_views
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, KVState
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import AttendAttrs, RopeAttrs

ELEMENTWISE_UNARY = ("silu", "gelu", "gelu_tanh", "relu", "tanh", "sigmoid", "exp", "reciprocal")
ELEMENTWISE_BINARY = ("add", "sub", "mul", "div")
NORMS = ("rms_norm", "layer_norm")
OTHERS = ("quantize_rows", "linear_i8", "rope", "kv_append", "attend", "take", "scalar", "embedding")


class Role(Enum):
    """What an operand is in attention."""

    QUERY = "query"
    KEY = "key"
    VALUE = "value"


@dataclass(frozen=True)
class Attention:
    """An attention: its node, the node that writes its cache, and the cache."""

    node: Node
    append: Node
    state: KVState

    @property
    def attrs(self) -> AttendAttrs:
        assert isinstance(self.node.attrs, AttendAttrs)
        return self.node.attrs


@dataclass(frozen=True)
class HeadUse:
    """A value whose second axis is heads: of which attention, as what, and how its pairs turn on the way."""

    attention: Attention
    role: Role
    rope: RopeAttrs | None


class Roles:
    """The graph as the accelerator sees it; UnsupportedError lists what it cannot run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.views: Mapping[str, View] = resolve_views(graph)
        self.host = self._host_nodes()
        problems = list(self._problems())
        if problems:
            raise UnsupportedError(problems)
        self.attentions = tuple(self._attention(n) for n in graph.nodes if n.op == "attend")

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The embeddings that the host looks up and writes."""
        return tuple(n for n in self.graph.nodes if n.op == "embedding")

    def steps(self) -> Iterator[Node]:
        """The nodes that need instructions, in order."""
        for node in self.graph.nodes:
            if node.name not in self.host and not is_view(node) and node.op not in ("scalar", "embedding"):
                yield node

    def readers(self, ref: str) -> Iterator[tuple[Node, int, str]]:
        """Nodes that read `ref` or a view of it, the operand's number, and the reference that they read."""
        for node in self.graph.uses.get(ref, ()):
            if is_view(node):
                yield from self.readers(node.ref)
            else:
                for number, operand in enumerate(node.operands):
                    if operand == ref:
                        yield node, number, ref

    def head_use(self, ref: str) -> HeadUse | None:
        """What the heads in `ref` [tokens, heads, size] are for; None when they are not attention's."""
        for node, number, _ in self.readers(ref):
            if node.op == "attend" and number == 0:
                return HeadUse(self._attention(node), Role.QUERY, None)
            if node.op == "kv_append" and number in (1, 2):
                reader = next(n for n, k, _ in self.readers(node.ref) if n.op == "attend" and k == 1)
                return HeadUse(self._attention(reader), Role.KEY if number == 1 else Role.VALUE, None)
            if node.op == "rope" or (node.op in NORMS and node.type.rank == 3):
                found = self.head_use(node.ref)
                if found is not None:
                    rope = node.attrs if isinstance(node.attrs, RopeAttrs) else found.rope
                    return HeadUse(found.attention, found.role, rope)
        return None

    def _attention(self, node: Node) -> Attention:
        append = self.graph.producer(node.operands[1])
        assert append is not None
        return Attention(node, append, self.graph.state(append.operands[0]))

    def _host_nodes(self) -> frozenset[str]:
        """Nodes over integers: positions and token numbers, before the embeddings."""
        integers = (DType.I32, DType.I64)
        return frozenset(n.name for n in self.graph.nodes if n.type.dtype in integers)

    def _problems(self) -> Iterator[str]:
        known = {*ELEMENTWISE_UNARY, *ELEMENTWISE_BINARY, *NORMS, *OTHERS}
        for node in self.graph.nodes:
            if node.name in self.host or is_view(node):
                continue
            found = self._refused(node, known)
            if found:
                layer = f" in {node.location.layer}" if node.location.layer else ""
                yield f"%{node.name}{layer}: {found}"

    def _refused(self, node: Node, known: set[str]) -> str | None:
        if node.op == "linear":
            return "linear on float activations; use a recipe with 8-bit activations, such as w8a8"
        if node.op not in known:
            return node.op
        if node.op == "linear_i8" and not node.operands[2].startswith("@"):
            return "linear by a computed matrix"
        if node.op in NORMS and node.type.rank == 3 and self.head_use(node.ref) is None:
            return f"{node.op} over heads that are not attention's"
        return None
