"""A graph: declarations of inputs, weights and state, and an ordered list of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from cosyn.ir.dtype import DType
from cosyn.ir.node import Node
from cosyn.ir.types import STATE_TYPE, TensorType


@dataclass(frozen=True, slots=True)
class Input:
    """A value that the caller gives at each step, referred to as `%name`."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor that does not change between steps, referred to as `@name`; `key` names it in the weight store."""

    name: str
    type: TensorType
    key: str


@dataclass(frozen=True, slots=True)
class KVState:
    """The KV cache of one attention layer, referred to as `$name`.

    Keys and values are stored as `[slots, n_kv_heads, capacity, head_dim]` of `dtype`; `i8` adds one f32 scale
    per (slot, head, position). A `contiguous` layout keeps position p at index p. A ring (`window` set) keeps
    the first `sinks` positions at their own index and position p ≥ sinks at
    `sinks + (p - sinks) mod (capacity - sinks)`. The caller of an artifact chooses slots and capacity.
    """

    name: str
    n_kv_heads: int
    head_dim: int
    dtype: DType
    value_dim: int = 0
    window: int = 0
    sinks: int = 0

    @property
    def v_dim(self) -> int:
        """Width of a value row; equal to `head_dim` unless the model says otherwise."""
        return self.value_dim or self.head_dim

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one cached position takes, scales included."""
        scales = 2 * 4 if self.dtype is DType.I8 else 0
        return self.n_kv_heads * ((self.head_dim + self.v_dim) * self.dtype.bits // 8 + scales)


@dataclass(frozen=True)
class Graph:
    """An ordered SSA list with its declarations.

    `dims` gives each symbolic dimension its inclusive range. `constants` are nodes over weights only: computed
    once when the artifact is packed, and referred to as `@name` like weights.
    """

    name: str
    dims: Mapping[str, tuple[int, int]]
    inputs: tuple[Input, ...]
    weights: tuple[Weight, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    states: tuple[KVState, ...] = ()
    constants: tuple[Node, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False)

    @cached_property
    def producers(self) -> dict[str, Node]:
        """Node name → node, for the nodes of a step."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """Reference → type, for everything that can be an operand."""
        table = {f"%{i.name}": i.type for i in self.inputs}
        table |= {f"@{w.name}": w.type for w in self.weights}
        table |= {f"${s.name}": STATE_TYPE for s in self.states}
        table |= {f"@{n.name}": n.type for n in self.constants}
        for node in self.nodes:
            table |= dict(zip(node.results, node.types, strict=True))
        return table

    @cached_property
    def uses(self) -> dict[str, tuple[Node, ...]]:
        """Reference → the nodes of a step that read it, in order; outputs are not uses."""
        table: dict[str, list[Node]] = {}
        for node in self.nodes:
            for ref in dict.fromkeys(node.operands):
                table.setdefault(ref, []).append(node)
        return {ref: tuple(nodes) for ref, nodes in table.items()}

    def producer(self, ref: str) -> Node | None:
        """The node that computes `%ref` in a step; None for an input, weight, constant or state."""
        if not ref.startswith("%"):
            return None
        name = ref[1:]
        node = self.producers.get(name)
        if node is None and "." in name:
            node = self.producers.get(name.rpartition(".")[0])
        return node

    def state(self, ref: str) -> KVState:
        """The state declaration that `$ref` names."""
        return next(s for s in self.states if f"${s.name}" == ref)

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """The same graph with another node list."""
        return replace(self, nodes=tuple(nodes))

    def map_refs(self, rename: Callable[[str], str]) -> Graph:
        """The same graph with every operand and output reference renamed."""

        def renamed(nodes: Iterable[Node]) -> Iterator[Node]:
            for node in nodes:
                yield replace(node, operands=tuple(rename(r) for r in node.operands))

        return replace(
            self,
            nodes=tuple(renamed(self.nodes)),
            constants=tuple(renamed(self.constants)),
            outputs=tuple(rename(r) for r in self.outputs),
        )

    def __str__(self) -> str:
        from cosyn.ir.printer import print_graph

        return print_graph(self)
