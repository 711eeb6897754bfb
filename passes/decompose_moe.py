"""Takes a mixture of experts apart, so that its intermediate values are planned and fused like all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.contraction import MoeAttrs
from cosyn.ir.ops.movement import SliceAttrs
from cosyn.passes.rewrite import Rewriter


@dataclass(frozen=True)
class DecomposeMoe:
    """Write `moe` as linears over chosen experts, with the activation between them.

                                                   %y.up = expert_linear(%x, %i, @u) : f32[seq, 2, 96]
                                                   %y.gate = slice(%y.up) {axis=2, start=0, stop=48} : …
        %y = moe(%x, %p, %i, @u, @d)               %y.value = slice(%y.up) {axis=2, start=48, stop=96} : …
             {activation="silu"}               →   %y.act = silu(%y.gate) : f32[seq, 2, 48]
             : f32[seq, 32]                        %y.inner = mul(%y.act, %y.value) : f32[seq, 2, 48]
                                                   %y.down = expert_linear(%y.inner, %i, @d) : f32[seq, 2, 32]
                                                   %y = mix_experts(%y.down, %p) : f32[seq, 32]

    Without a gate the activation reads `%y.up`. Of seven operands the last two are biases; a sixth alone is a
    bias of `up`. Postcondition: no node is a `moe`.
    """

    name: ClassVar[str] = "decompose_moe"

    def run(self, graph: Graph) -> Graph:
        if not any(node.op == "moe" for node in graph.nodes):
            return graph
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if isinstance(node.attrs, MoeAttrs):
                _decompose(rewriter, node, node.attrs)
            else:
                rewriter.keep(node)
        return rewriter.finish()


def _decompose(rewriter: Rewriter, node: Node, attrs: MoeAttrs) -> None:
    x, weights, ids, up, down, *biases = (rewriter.resolve(r) for r in node.operands)

    def emit(part: str, op: str, *operands: str, attributes: SliceAttrs | None = None) -> str:
        name = rewriter.fresh(f"{node.name}.{part}")
        if attributes is None:
            return rewriter.emit(name, op, operands, location=node.location).ref
        return rewriter.emit(name, op, operands, attributes, node.location).ref

    hidden = emit("up", "expert_linear", x, ids, up, *biases[:1])
    if attrs.gated:
        width = int(rewriter.types[down].shape[-1])
        gate = emit("gate", "slice", hidden, attributes=SliceAttrs(2, 0, width))
        value = emit("value", "slice", hidden, attributes=SliceAttrs(2, width, 2 * width))
        inner = emit("inner", "mul", emit("act", attrs.activation, gate), value)
    else:
        inner = emit("act", attrs.activation, hidden)
    out = emit("down", "expert_linear", inner, ids, down, *biases[1:])
    rewriter.emit(node.name, "mix_experts", [out, weights], location=node.location)
