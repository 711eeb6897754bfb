"""Splits attention into what it writes to the KV cache and what it reads from it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input, KVState
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import AttendAttrs, AttentionAttrs
from cosyn.ir.types import SEQ, TensorType
from cosyn.passes.rewrite import Rewriter


@dataclass(frozen=True)
class ExplicitState:
    """Attention over one step becomes attention over a declared cache, of any number of sequences.

        %o = attention(%q, %k, %v, %positions) {scale=0.125} : f32[seq, 4, 64]
          →
        input %slots : i32[seq]
        state $kv0 {n_kv_heads=2, head_dim=64, dtype=f16}
        %kv0.written = kv_append($kv0, %k, %v, %positions, %slots) : state
        %o = attend(%q, %kv0.written, %positions, %slots) {scale=0.125, n_kv_heads=2, v_dim=64} : …

    One state per attention, in order. A window makes its state a ring that keeps only what can still be seen.
    Precondition: no state. Postcondition: no `attention` node is left, and `slots` is the last input.
    """

    kv_dtype: DType

    name: ClassVar[str] = "explicit_state"

    def run(self, graph: Graph) -> Graph:
        if not any(n.op == "attention" for n in graph.nodes):
            return graph
        rewriter = Rewriter(graph)
        slots = Input(rewriter.fresh("slots"), TensorType((SEQ,), DType.I32))
        rewriter.inputs.append(slots)
        rewriter.types[f"%{slots.name}"] = slots.type
        states: list[KVState] = []
        for node in graph.nodes:
            if node.op == "attention":
                states.append(self._split(rewriter, node, f"%{slots.name}", len(states)))
            else:
                rewriter.keep(node)
        return replace(rewriter.finish(), states=(*graph.states, *states))

    def _split(self, rewriter: Rewriter, node: Node, slots: str, index: int) -> KVState:
        attrs = node.attrs
        assert isinstance(attrs, AttentionAttrs)
        q, k, v, positions, *extra = (rewriter.resolve(r) for r in node.operands)
        _, heads, head_dim = rewriter.types[k].shape
        v_dim = int(rewriter.types[v].shape[2])
        state = KVState(
            rewriter.fresh(f"kv{index}"), int(heads), int(head_dim), self.kv_dtype,
            value_dim=0 if v_dim == head_dim else v_dim, window=attrs.window or 0, sinks=attrs.sinks,
        )  # fmt: skip
        operands = [f"${state.name}", k, v, positions, slots]
        rewriter.types[f"${state.name}"] = TensorType((), DType.STATE)
        written = rewriter.emit(rewriter.fresh(f"{state.name}.written"), "kv_append", operands, location=node.location)
        base = {f.name: getattr(attrs, f.name) for f in fields(AttentionAttrs)}
        sizes = AttendAttrs(**base, n_kv_heads=state.n_kv_heads, v_dim=state.v_dim)
        rewriter.emit(node.name, "attend", [q, written.ref, positions, slots, *extra], sizes, node.location)
        return state
