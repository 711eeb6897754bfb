"""Recognises attention that a model spells out as products and a softmax, and KV heads that it repeats."""

from __future__ import annotations

from collections.abc import Mapping

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.builder import GraphBuilder
from cosyn.ir.frontend.causality import read_bias
from cosyn.ir.frontend.lowering import PositionInput
from cosyn.ir.frontend.positional import Array, PositionValues
from cosyn.ir.graph import Weight
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import AttentionAttrs
from cosyn.ir.ops.movement import ReshapeAttrs, TransposeAttrs
from cosyn.ir.types import SEQ, TensorType


class SpelledOutAttention:
    """A rule: softmax(c · q kᵀ + bias) v → attention, where the bias is causal (with a window, with ALiBi).

    `inputs` are the graph's position-only inputs; `weights` collects slopes found in a bias.
    """

    def __init__(self, positional: PositionValues, inputs: Mapping[str, PositionInput], max_seq: int) -> None:
        self.positional = positional
        self.inputs = inputs
        self.max_seq = max_seq
        self.weights: list[Weight] = []

    def __call__(self, builder: GraphBuilder, node: Node) -> str | None:
        softmax = builder.producer(node.operands[0], "softmax") if node.op == "matmul" else None
        if softmax is None or softmax.type.rank != 3 or softmax.type.shape[1:] != (SEQ, SEQ):
            return None
        terms: list[tuple[PositionInput, float]] = []
        found = self._scores(builder, softmax.operands[0], terms)
        if found is None:
            return None
        product, scale, softcap = found
        q, keys = product.operands
        turned = builder.producer(keys, "transpose")
        if turned is None or not isinstance(turned.attrs, TransposeAttrs):
            return None
        # keys are [h, d, s]: put them, like q [h, s, d] and v [h, s, d], in the order of tokens.
        perm = [turned.attrs.perm[i] for i in (2, 0, 1)]
        heads = softmax.type.shape[0]
        bias = read_bias(terms, self.positional, int(heads), self.max_seq)
        if bias is None:
            return None
        k = builder.transpose(turned.operands[0], perm)
        attrs = AttentionAttrs(scale, bias.window, softcap=softcap, alibi=bias.slopes is not None)
        extra = [] if bias.slopes is None else [self._slopes(builder, bias.slopes)]
        q, v = (builder.transpose(ref, (1, 0, 2)) for ref in (q, node.operands[1]))
        out = builder.emit("attention", [q, k, v, "%positions", *extra], attrs)
        return builder.transpose(out, (1, 0, 2))

    def _scores(
        self, builder: GraphBuilder, ref: str, terms: list[tuple[PositionInput, float]], scale: float = 1.0
    ) -> tuple[Node, float, float | None] | None:
        """(q · kᵀ, its factor, softcap) where `ref` is the scores; what is added to them joins `terms`."""
        product = builder.producer(ref, "matmul")
        if product is not None:
            return product, scale, None
        node = builder.producer(ref, "add", "mul", "div")
        if node is None:
            return None
        for inner, other in (node.operands, node.operands[::-1]):
            term, number = self.inputs.get(other[1:]), builder.scalar_value(other)
            if node.op == "add" and term is not None:
                terms.append((term, scale))
                return self._scores(builder, inner, terms, scale)
            if node.op == "mul" and number is not None:
                capped = self._softcap(builder, inner, number) if scale == 1.0 else None
                return capped or self._scores(builder, inner, terms, scale * number)
            if node.op == "div" and number is not None and inner == node.operands[0]:
                return self._scores(builder, inner, terms, scale / number)
        return None

    def _softcap(self, builder: GraphBuilder, ref: str, cap: float) -> tuple[Node, float, float | None] | None:
        """cap · tanh(scores / cap), the bias being added after it."""
        tanh = builder.producer(ref, "tanh")
        inner: list[tuple[PositionInput, float]] = []
        found = self._scores(builder, tanh.operands[0], inner) if tanh else None
        if found is None or inner or found[2] is not None:
            return None
        product, scale, _ = found
        return product, scale * cap, cap

    def _slopes(self, builder: GraphBuilder, slopes: Array) -> str:
        key = self.positional.keep("alibi.slopes", slopes)
        builder.types[f"@{key}"] = TensorType(slopes.shape, DType.F32)
        if all(w.key != key for w in self.weights):
            self.weights.append(Weight(key, builder.types[f"@{key}"], key))
        return f"@{key}"


def shared_heads(builder: GraphBuilder, node: Node) -> str | None:
    """attention(q, repeat(k), repeat(v)) → attention(q, k, v): its KV heads may be fewer than its heads."""
    if node.op != "attention":
        return None
    pair = [_unrepeated(builder, ref) for ref in node.operands[1:3]]
    if pair[0] is None or pair[1] is None or builder.shape(pair[0])[1] != builder.shape(pair[1])[1]:
        return None
    return builder.emit("attention", [node.operands[0], pair[0], pair[1], *node.operands[3:]], node.attrs)


def _unrepeated(builder: GraphBuilder, ref: str) -> str | None:
    """x [s, h, d] where `ref` [s, g·h, d] repeats each head of x g times in a row."""
    turned = builder.producer(ref, "transpose")
    heads = 1
    if turned is not None and isinstance(turned.attrs, TransposeAttrs) and turned.attrs.perm == (1, 0, 2):
        ref, heads = turned.operands[0], 0
    merged = builder.producer(ref, "reshape")
    wide = builder.producer(merged.operands[0] if merged else ref, "expand")
    if wide is None or not isinstance(wide.attrs, ReshapeAttrs):
        return None
    before, after = builder.shape(wide.operands[0]), wide.attrs.shape
    repeated = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    if len(before) != len(after) or repeated != [heads + (1 if merged else 0)]:
        return None
    width = builder.shape(ref)[-1]
    kept = tuple(d for i, d in enumerate(before) if i != repeated[0]) if merged else before
    source = builder.reshape(wide.operands[0], kept)
    if len(kept) != 3 or kept[-1] != width:
        return None
    return source if heads == 1 else builder.transpose(source, (1, 0, 2))
