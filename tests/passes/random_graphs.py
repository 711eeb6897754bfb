"""Random graphs of token-parallel models, as a hypothesis strategy."""

from __future__ import annotations

from hypothesis import strategies as st

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input, Weight
from cosyn.ir.node import NO_ATTRS, Node
from cosyn.ir.ops import make_node
from cosyn.ir.ops.attention import AttentionAttrs, RopeAttrs
from cosyn.ir.ops.elementwise import ScalarAttrs
from cosyn.ir.ops.movement import AxisAttrs, ReshapeAttrs, SliceAttrs, TransposeAttrs
from cosyn.ir.ops.row import NormAttrs, TopKAttrs
from cosyn.ir.types import SEQ, TensorType

WIDTH = 8
_TOKENS = TensorType((SEQ,), DType.I32)
_WIDE = TensorType((SEQ, WIDTH), DType.F32)


class Builder:
    """A graph under construction; `values` are all f32[seq, WIDTH] values made so far."""

    def __init__(self) -> None:
        self.types = {"%token_ids": _TOKENS, "%positions": _TOKENS}
        self.weights: list[Weight] = []
        self.nodes: list[Node] = []
        table = self.weight((16, WIDTH))
        self.values = [self.emit("embedding", ["%token_ids", table])]

    def weight(self, shape: tuple[int, ...]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(Weight(name, TensorType(shape, DType.F32), name))
        self.types[f"@{name}"] = self.weights[-1].type
        return f"@{name}"

    def emit(self, op: str, operands: list[str], attrs: object = NO_ATTRS) -> str:
        node = make_node(f"n{len(self.nodes)}", op, operands, [self.types[r] for r in operands], attrs)
        self.nodes.append(node)
        self.types |= zip(node.results, node.types, strict=True)
        return node.ref

    def graph(self) -> Graph:
        return Graph(
            "random", {"seq": (1, 64)}, (Input("token_ids", _TOKENS), Input("positions", _TOKENS)),
            tuple(self.weights), tuple(self.nodes), (self.values[-1],),
        )  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph from token ids to f32[seq, WIDTH], with every kind of op in random places."""
    builder = Builder()
    for _ in range(draw(st.integers(1, 14))):
        step = draw(st.sampled_from(_STEPS))
        recent = builder.values[-4:]
        a, b = draw(st.sampled_from(recent)), draw(st.sampled_from(recent))
        builder.values.append(step(builder, draw, a, b))
    return builder.graph()


def _unary(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    return g.emit(draw(st.sampled_from(["neg", "tanh", "silu", "gelu", "sigmoid", "relu", "sin", "abs"])), [a])


def _binary(g: Builder, draw: st.DrawFn, a: str, b: str) -> str:
    return g.emit(draw(st.sampled_from(["add", "sub", "mul", "maximum", "minimum"])), [a, b])


def _number(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    number = g.emit("scalar", [], ScalarAttrs(draw(st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5]))))
    op = draw(st.sampled_from(["add", "sub", "mul"]))
    return g.emit(op, [a, number] if draw(st.booleans()) else [number, a])


def _power(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    exponent = g.emit("scalar", [], ScalarAttrs(draw(st.sampled_from([1.0, 2.0]))))
    return g.emit("tanh", [g.emit("pow", [a, exponent])])


def _linear(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    return g.emit("linear", [a, g.weight((WIDTH, WIDTH))] + ([g.weight((WIDTH,))] if draw(st.booleans()) else []))


def _gated(g: Builder, _draw: st.DrawFn, a: str, _b: str) -> str:
    gate, up = (g.emit("linear", [a, g.weight((12, WIDTH))]) for _ in range(2))
    return g.emit("linear", [g.emit("mul", [g.emit("silu", [gate]), up]), g.weight((WIDTH, 12))])


def _norm(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    op = draw(st.sampled_from(["rms_norm", "layer_norm"]))
    return g.emit(op, [a, g.weight((WIDTH,))], NormAttrs(1e-3))


def _folded_weight(g: Builder, _draw: st.DrawFn, a: str, _b: str) -> str:
    one = g.emit("scalar", [], ScalarAttrs(1.0))
    return g.emit("rms_norm", [a, g.emit("add", [g.weight((WIDTH,)), one])], NormAttrs(1e-3))


def _row(g: Builder, draw: st.DrawFn, a: str, b: str) -> str:
    if draw(st.booleans()):
        return g.emit("softmax", [a])
    return g.emit("mul", [b, g.emit(draw(st.sampled_from(["mean", "max"])), [a])])


def _movement(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    match draw(st.integers(0, 3)):
        case 0:
            cut = draw(st.integers(1, WIDTH - 1))
            left = g.emit("slice", [a], SliceAttrs(1, 0, cut))
            right = g.emit("slice", [a], SliceAttrs(1, cut, WIDTH))
            return g.emit("concat", [right, left], AxisAttrs(1))
        case 1:
            folded = g.emit("reshape", [a], ReshapeAttrs((SEQ, 2, WIDTH // 2)))
            turned = g.emit("transpose", [folded], TransposeAttrs((0, 2, 1)))
            return g.emit("reshape", [turned], ReshapeAttrs((SEQ, WIDTH)))
        case 2:
            turned = g.emit("transpose", [a], TransposeAttrs((1, 0)))
            return g.emit("transpose", [g.emit("silu", [turned])], TransposeAttrs((1, 0)))
    same = g.emit("reshape", [a], ReshapeAttrs((SEQ, WIDTH)))
    return g.emit("slice", [same], SliceAttrs(1, 0, WIDTH))


def _routed(g: Builder, _draw: st.DrawFn, a: str, b: str) -> str:
    best = g.emit("topk", [g.emit("softmax", [a])], TopKAttrs(WIDTH))
    return g.emit("add", [b, g.emit("take_columns", [a, f"{best}.1"])])


def _attention(g: Builder, draw: st.DrawFn, a: str, _b: str) -> str:
    q, k, v = (g.emit("linear", [a, g.weight((n, WIDTH))]) for n in (WIDTH, WIDTH // 2, WIDTH // 2))
    heads = [g.emit("reshape", [x], ReshapeAttrs((SEQ, n, 4))) for x, n in ((q, 2), (k, 1), (v, 1))]
    frequencies = g.weight((2,))
    heads[:2] = [g.emit("rope", [x, "%positions", frequencies], RopeAttrs(4)) for x in heads[:2]]
    attrs = AttentionAttrs(0.5, window=draw(st.sampled_from([None, 3])))
    out = g.emit("attention", [*heads, "%positions"], attrs)
    return g.emit("reshape", [out], ReshapeAttrs((SEQ, WIDTH)))


_STEPS = [
    _unary, _binary, _binary, _number, _power, _linear, _gated, _norm, _folded_weight, _row, _movement,
    _routed, _attention,
]  # fmt: skip
