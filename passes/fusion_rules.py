"""What may be fused with what, and when it pays: the local questions of fusion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS, Kind
from cosyn.ir.ops.movement import AxisAttrs, SliceAttrs, TransposeAttrs
from cosyn.ir.types import TensorType, bind_dim

OPS_PER_BYTE = 4.0
"""Operations worth recomputing to save one byte of memory traffic: below the balance of any machine today."""

_ROW_OPS = ("rms_norm", "layer_norm", "softmax", "sum", "mean", "max", "quantize_rows")
# How often an op reads each element of its first operand: once per reduction, and once for the result. An append
# reads the rows that it quantizes twice.
_READS = {"rms_norm": 2, "layer_norm": 3, "softmax": 3, "quantize_rows": 2, "rope": 2, "kv_append": 2}
_EPILOGUE_HOSTS = ("linear", "linear_i8", "expert_linear")


def is_view(graph: Graph, node: Node) -> bool:
    """Whether `node` is another shape of memory that its operand already has in the arena."""
    if node.op != "reshape" or node.ref in graph.outputs:
        return False  # the caller's output is memory of its own
    source = graph.producer(node.operands[0])
    return source is not None and (source.op != "reshape" or is_view(graph, source))


def is_generic(node: Node) -> bool:
    """Whether `node` can be expressed inside any kernel that runs over its first axis."""
    kind = OPS[node.op].kind
    return kind in (Kind.ELEMENTWISE, Kind.MOVEMENT, Kind.GATHER) or node.op in (*_ROW_OPS, "rope", "mix_experts")


def takes_in_rows(node: Node) -> bool:
    """Whether `node` may join the kernel that makes the rows of its operands."""
    return is_generic(node) or node.op == "kv_append"


def are_siblings(graph: Graph, one: Iterable[Node], other: Iterable[Node]) -> bool:
    """Whether both, each a group without views, make rows from the same: a value of the step, or the sines and
    cosines of a rotation.
    """
    return not _sources(graph, one).isdisjoint(_sources(graph, other))


def _sources(graph: Graph, nodes: Iterable[Node]) -> set[str | tuple[str, ...]]:
    found: set[str | tuple[str, ...]] = set()
    for node in nodes:
        if is_view(graph, node):
            continue
        # An input (tokens, positions) is read by what has nothing else in common.
        found |= {r for r in _aligned_operands(graph, node) if graph.producer(r) is not None}
        if node.op == "rope":
            found.add(node.operands[1:])
    return found


def joins_as_epilogue(graph: Graph, host: Sequence[Node], producer: Node, node: Node) -> bool:
    """Whether `node` can end the kernel of a linear, whose nodes so far are `host`, by reading `producer`."""
    return (
        host[0].op in _EPILOGUE_HOSTS
        and OPS[node.op].kind is Kind.ELEMENTWISE
        and node.type.shape == producer.type.shape
        and node.type.dtype is producer.type.dtype
        and graph.uses.get(producer.ref) == (node,)
        and producer.ref not in graph.outputs
    )


def row_aligned_producers(graph: Graph, node: Node) -> Iterator[tuple[Node, list[Node]]]:
    """Producers of the operands that `node` reads row by row, each with the reshapes in between."""
    for ref in dict.fromkeys(_aligned_operands(graph, node)):
        between: list[Node] = []
        producer = graph.producer(ref)
        while producer is not None and is_view(graph, producer) and _keeps_rows(graph, producer):
            between.append(producer)
            producer = graph.producer(producer.operands[0])
        if producer is not None and producer.op != "scalar" and not is_view(graph, producer):
            yield producer, between


def _keeps_rows(graph: Graph, node: Node) -> bool:
    return graph.types[node.operands[0]].shape[:1] == node.type.shape[:1]


def _aligned_operands(graph: Graph, node: Node) -> list[str]:
    """Operands whose row i only row i of the result depends on."""
    if node.op == "kv_append":
        # Positions and slots say where the rows go.
        return list(node.operands[1:3])
    if not node.type.shape or not _works_by_rows(node):
        return []
    values = [r for r in node.operands if r.startswith("%") and graph.types[r].shape[:1] == node.type.shape[:1]]
    if node.op == "mix_experts":
        # Each element reads all of the row's weights: computed with them, they would be computed per column.
        return [node.operands[0]]
    match OPS[node.op].kind:
        case Kind.ELEMENTWISE:
            return [r for r in values if graph.types[r].rank == node.type.rank]
        case Kind.ROW:
            return values if node.type.rank > 1 else []
        case Kind.GATHER:
            # `take` reads any row of its first operand.
            return [r for r in values if node.op != "take" or r != node.operands[0]]
    return values


def _works_by_rows(node: Node) -> bool:
    match node.attrs:
        case SliceAttrs(axis=0) | AxisAttrs(axis=0):
            return False
        case TransposeAttrs(perm=perm):
            return perm[0] == 0
    return True


def worth(graph: Graph, parts: Sequence[Mapping[int, Node]]) -> bool:
    """Whether one kernel of all `parts` (nodes by position) saves traffic at a fair price in work."""
    together: dict[int, Node] = {}
    for part in parts:
        together |= part
    repeated = _repeated_ops(graph, together) - sum(_repeated_ops(graph, part) for part in parts)
    return repeated <= OPS_PER_BYTE * _saved_bytes(graph, [list(part.values()) for part in parts])


def _saved_bytes(graph: Graph, parts: Sequence[Sequence[Node]]) -> float:
    saved = 0.0
    for part in parts:
        produced = {r: t for n in part for r, t in zip(n.results, n.types, strict=True)}
        readers = {n.name for other in parts if other is not part for n in other}
        inside = readers | {n.name for n in part}
        for ref, type_ in produced.items():
            users = {n.name for n in graph.uses.get(ref, ())}
            if users & readers:
                # One read, and the write too where nobody else needs the value.
                saved += _nbytes(type_) * (1 if users - inside or ref in graph.outputs else 2)
    return saved


def _repeated_ops(graph: Graph, members: Mapping[int, Node]) -> float:
    """Operations beyond computing each value once, for one row of the step."""
    nodes = [node for _, node in sorted(members.items())]
    inside = {n.name for n in nodes}
    evaluations: dict[str, int] = {}
    total = 0.0
    for node in reversed(nodes):
        readers = graph.uses.get(node.ref, ())
        kept = any(r.name not in inside for r in readers) or node.ref in graph.outputs
        count = sum(evaluations[r.name] * _READS.get(r.op, 1) for r in readers if r.name in inside)
        evaluations[node.name] = 1 if kept or node.op in _ROW_OPS else max(count, 1)
        types = [graph.types[r] for r in node.operands]
        ops = OPS[node.op].ops(node.attrs, types, node.types)
        total += (evaluations[node.name] - 1) * bind_dim(ops, _ONE_ROW)
    return total


class _OneRow(dict[str, int]):
    def __missing__(self, _symbol: str) -> int:
        return 1


_ONE_ROW = _OneRow()


def _nbytes(type_: TensorType) -> int:
    return bind_dim(type_.nbytes, _ONE_ROW)
