"""One node of every op, with attributes that differ from their defaults."""

from __future__ import annotations

from cosyn.ir.dtype import DType
from cosyn.ir.node import NO_ATTRS, Node
from cosyn.ir.ops import make_node
from cosyn.ir.ops.attention import AttendAttrs, AttentionAttrs, RopeAttrs
from cosyn.ir.ops.contraction import MoeAttrs
from cosyn.ir.ops.elementwise import BINARY, UNARY, CastAttrs, ScalarAttrs
from cosyn.ir.ops.movement import AxisAttrs, ReshapeAttrs, SliceAttrs, TransposeAttrs
from cosyn.ir.ops.row import NormAttrs, TopKAttrs
from cosyn.ir.types import SEQ, STATE_TYPE, Dim, TensorType


def _f32(*shape: Dim) -> TensorType:
    return TensorType(shape, DType.F32)


def _node(op: str, attrs: object, **operands: TensorType) -> Node:
    refs = [
        f"${n}" if t == STATE_TYPE else f"@{n}" if len(n) == 1 and n in "wbf" else f"%{n}" for n, t in operands.items()
    ]
    return make_node("y", op, refs, list(operands.values()), attrs)


_X = _f32(SEQ, 12)
_TOKENS = TensorType((SEQ,), DType.I32)
_CHOICES = TensorType((SEQ, 2), DType.I32)
_HEADS = {"q": _f32(SEQ, 4, 8), "k": _f32(SEQ, 2, 8), "v": _f32(SEQ, 2, 8)}
_SLOPES, _MASK = _f32(4), TensorType((4, 2, 2), DType.U8)

NODES: list[Node] = [
    *(_node(op, NO_ATTRS, x=_X) for op in UNARY),
    *(_node(op, NO_ATTRS, x=_X, z=_X) for op in BINARY),
    _node("cast", CastAttrs(DType.I32), x=_X),
    _node("scalar", ScalarAttrs(float("-inf"))),
    _node("scalar", ScalarAttrs(3.0, DType.I32)),
    _node("scalar", ScalarAttrs(1e-30)),
    _node("reshape", ReshapeAttrs((2 * SEQ, 6)), x=_X),
    _node("transpose", TransposeAttrs((1, 0)), x=_X),
    _node("slice", SliceAttrs(1, 2, 11, 3), x=_X),
    _node("concat", AxisAttrs(0), x=_X, z=_X),
    _node("expand", ReshapeAttrs((3, SEQ, 12)), x=_X),
    _node("rms_norm", NormAttrs(1e-5), x=_X, w=_f32(12)),
    _node("layer_norm", NormAttrs(1e-5), x=_X, w=_f32(12), b=_f32(12)),
    *(_node(op, NO_ATTRS, x=_X) for op in ("softmax", "sum", "mean", "max", "quantize_rows")),
    _node("topk", TopKAttrs(3), x=_X),
    _node("linear", NO_ATTRS, x=_X, w=_f32(4, 12), b=_f32(4)),
    _node("linear_i8", NO_ATTRS, x=TensorType((SEQ, 12), DType.I8), s=_f32(SEQ, 1), w=_f32(4, 12)),
    _node("matmul", NO_ATTRS, x=_X, z=_f32(12, 5)),
    _node("embedding", NO_ATTRS, ids=_TOKENS, w=_f32(9, 4)),
    _node("take", NO_ATTRS, x=_X, rows=_TOKENS),
    _node("take_columns", NO_ATTRS, x=_X, columns=_CHOICES),
    _node(
        "moe", MoeAttrs("gelu", gated=False),
        x=_X, p=_f32(SEQ, 2), ids=_CHOICES, up=_f32(3, 5, 12), down=_f32(3, 12, 5),
    ),
    _node("expert_linear", NO_ATTRS, x=_X, ids=_CHOICES, w=_f32(3, 5, 12), b=_f32(3, 5)),
    _node("mix_experts", NO_ATTRS, x=_f32(SEQ, 2, 5), p=_f32(SEQ, 2)),
    _node("rope", RopeAttrs(4, interleaved=True, scale=1.25), x=_HEADS["q"], positions=_TOKENS, f=_f32(2)),
    _node("attention", AttentionAttrs(0.125), **_HEADS, positions=_TOKENS),
    _node(
        "attention", AttentionAttrs(0.125, window=4, sinks=1, softcap=30.0, alibi=True, mask_block=16),
        **_HEADS, positions=_TOKENS, slopes=_SLOPES, mask=_MASK,
    ),
    _node(
        "kv_append", NO_ATTRS,
        kv=STATE_TYPE, k=_HEADS["k"], v=_HEADS["v"], positions=_TOKENS, slots=_TOKENS,
    ),
    _node(
        "attend", AttendAttrs(0.5, window=7, n_kv_heads=2, v_dim=8),
        q=_HEADS["q"], kv=STATE_TYPE, positions=_TOKENS, slots=_TOKENS,
    ),
]  # fmt: skip
