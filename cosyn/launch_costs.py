"""What one launch of a kernel moves and computes: bytes of its arguments as they are stored, operations of its ops."""

from __future__ import annotations

from dataclasses import dataclass

from cosyn.inspection import Inspection
from cosyn.ir.dtype import DType
from cosyn.ir.types import bind_dim
from cosyn.kernel_runner import Launch
from cosyn.passes.cost import kernel_costs
from cosyn.roofline_peaks import Precision
from cosyn.runtime.manifest import Manifest, StateSpec


@dataclass(frozen=True, slots=True)
class LaunchCost:
    """Bytes by where they lie, and arithmetic (a multiply-add counts 2), of which peak."""

    kind: str
    """Of the group: linear, attend, row, …"""
    weight_bytes: int
    state_bytes: int
    value_bytes: int
    """Activations, read and written."""
    ops: int
    precision: Precision

    @property
    def nbytes(self) -> int:
        return self.weight_bytes + self.state_bytes + self.value_bytes


class LaunchCosts:
    """Costs of the launches of a step of `tokens` tokens after `context` cached ones."""

    def __init__(self, found: Inspection, manifest: Manifest, tokens: int, context: int) -> None:
        self._graph = found.graph
        self._tokens, self._context = tokens, context
        self._bindings = {"seq": tokens, "out": 1, "past": context}
        self._groups = {g.name: g for g in found.fusion.groups}
        self._ops = {c.group: c.ops for c in kernel_costs(found.graph, found.fusion, self._bindings)}
        self._pieces = {spec.name: spec.nbytes for spec in manifest.weights}
        self._states = {spec.name: spec for spec in manifest.states}

    def cost(self, launch: Launch) -> LaunchCost:
        """The cost of one launch."""
        group = self._groups[launch.group]
        values = [r for r in (*launch.arguments, *launch.results) if r.startswith("%")]
        states = {a[1:].partition(":")[0] for a in launch.arguments if a.startswith("$")}
        return LaunchCost(
            group.kind,
            sum(self._weight_bytes(a, group.nodes) for a in launch.arguments if a.startswith("@")),
            sum(self._state_bytes(self._states[s], appends=group.kind == "kv_append") for s in states),
            sum(bind_dim(self._graph.types[v].nbytes, self._bindings) for v in values),
            self._ops[launch.group],
            self._precision(launch, group.kind),
        )

    def _weight_bytes(self, argument: str, nodes: tuple[str, ...]) -> int:
        """A packed piece is read once, but of a table the tokens' rows, and of experts those that tokens choose."""
        ref, nbytes = argument.partition(":")[0], self._pieces[argument]
        rows = int(self._graph.types[ref].shape[0])
        for node in (self._graph.producers[n] for n in nodes):
            if ref in node.operands and node.op == "embedding":
                return nbytes * min(self._tokens, rows) // rows
            if ref in node.operands and node.op == "expert_linear":
                chosen = int(self._graph.types[node.operands[1]].shape[-1])
                return nbytes * min(self._tokens * chosen, rows) // rows
        return nbytes

    def _state_bytes(self, spec: StateSpec, *, appends: bool) -> int:
        if appends:
            return self._tokens * spec.bytes_per_position
        seen = self._context + self._tokens
        return spec.bytes_per_position * (min(seen, spec.window + spec.sinks + self._tokens) if spec.window else seen)

    def _precision(self, launch: Launch, kind: str) -> Precision:
        """The arithmetic that a linear's operands allow; everything else counts in f32."""
        if kind == "linear_i8":
            return "i8"
        packed = [a.partition(":")[0] for a in launch.arguments if a.startswith("@") and ":" in a]
        if kind == "linear" and any(self._graph.types[r].dtype is DType.BF16 for r in packed):
            return "bf16"
        return "f32"
