"""Rotary embedding, attention, and its form over explicit KV state.

Every token of a step carries its own `positions[t]` (from 0) and, once state is explicit, `slots[t]` (which
sequence it belongs to). So prefill, chunked prefill, and decode of sequences of different lengths are one
graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.node import NoAttrs
from cosyn.ir.ops.op import Array, Kind, Op, OpError
from cosyn.ir.ops.row import quantize_rows
from cosyn.ir.types import PAST, STATE_TYPE, Dim, TensorType


@dataclass(frozen=True, slots=True)
class RopeAttrs:
    """How pairs of a head are rotated.

    `rotary_dim` leading elements of each head turn, the rest pass through. `interleaved` pairs (0, 1), (2,
    3), …; otherwise element i pairs with i + rotary_dim / 2. `scale` multiplies cosine and sine (YaRN's
    attention factor).
    """

    rotary_dim: int
    interleaved: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class AttentionAttrs:
    """The attention pattern and arithmetic of one layer.

    `scale` multiplies q·k. A token at position p sees positions j ≤ p, and where `window` is set only j > p -
    window or j < sinks. `softcap` c replaces a score s by c · tanh(s / c). `alibi` adds slope[h] · (j - p);
    its slopes are the operand after the fixed ones. `mask_block` b > 0 makes the next operand a block mask
    u8[n_heads, rows, rows]: block (p // b, j // b) is visible where it is not 0.
    """

    scale: float
    window: int | None = None
    sinks: int = 0
    softcap: float | None = None
    alibi: bool = False
    mask_block: int = 0

    @property
    def extra_operands(self) -> int:
        """Operands after the fixed ones: slopes and block mask."""
        return int(self.alibi) + int(self.mask_block > 0)


class KVCache:
    """Reference state of one layer: k and v as written (quantized where the state says so), by slot and
    position.
    """

    def __init__(self, state: KVState) -> None:
        self.state = state
        self.rows: dict[tuple[int, int], tuple[Array, Array]] = {}

    def append(self, slot: int, position: int, k: Array, v: Array) -> None:
        """Write one position of every head: k `[n_kv_heads, head_dim]`, v `[n_kv_heads, v_dim]`."""
        self.rows[slot, position] = (self._stored(k), self._stored(v))

    def _stored(self, x: Array) -> Array:
        if self.state.dtype is DType.I8:
            codes, scales = quantize_rows(NoAttrs(), x)
            result: Array = codes.astype(x.dtype) * scales.astype(x.dtype)
            return result
        if self.state.dtype in (DType.F16, DType.BF16):
            return x.astype(self.state.dtype.numpy).astype(x.dtype)
        return x

    def gather(self, slot: int, positions: Array) -> tuple[Array, Array]:
        """k `[n, n_kv_heads, head_dim]` and v of the given positions; KeyError for one never written."""
        pairs = [self.rows[slot, int(p)] for p in positions]
        return np.stack([k for k, _ in pairs]), np.stack([v for _, v in pairs])


def visible(attrs: AttentionAttrs, position: int) -> Array:
    """Positions that a token at `position` sees through causality, window and sinks, ascending."""
    positions = np.arange(position + 1)
    if attrs.window is None:
        return positions
    return positions[(positions > position - attrs.window) | (positions < attrs.sinks)]


def attend_token(
    attrs: AttentionAttrs,
    q: Array,
    k: Array,
    v: Array,
    position: int,
    positions: Array,
    extra: Sequence[Array],
) -> Array:
    """Attention of one token: q `[h, d]` over k `[n, h_kv, d]`, v `[n, h_kv, dv]` at `positions`."""
    group = q.shape[0] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = np.einsum("hd,nhd->hn", q, k) * q.dtype.type(attrs.scale)
    if attrs.softcap is not None:
        scores = np.tanh(scores / attrs.softcap) * attrs.softcap
    if attrs.alibi:
        scores = scores + extra[0].astype(q.dtype)[:, None] * (positions - position)
    if attrs.mask_block:
        block = attrs.mask_block
        scores = np.where(extra[-1][:, position // block, positions // block] != 0, scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = e.sum(-1, keepdims=True)
    # A row whose every block is masked attends to nothing: zero, not NaN.
    p = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
    result: Array = np.einsum("hn,nhd->hd", p, v).astype(q.dtype)
    return result


def attention(attrs: AttentionAttrs, q: Array, k: Array, v: Array, positions: Array, *extra: Array) -> Array:
    """Attention among the tokens of one step, which are positions of one sequence."""
    index = {int(p): t for t, p in enumerate(positions)}
    out = np.empty((*q.shape[:2], v.shape[2]), q.dtype)
    for t, position in enumerate(positions):
        seen = [p for p in visible(attrs, int(position)) if int(p) in index]
        rows = [index[int(p)] for p in seen]
        out[t] = attend_token(attrs, q[t], k[rows], v[rows], int(position), np.asarray(seen), extra)
    return out


def kv_append(_attrs: NoAttrs, cache: KVCache, k: Array, v: Array, positions: Array, slots: Array) -> KVCache:
    """Write the step's keys and values into the cache."""
    for t in range(len(positions)):
        cache.append(int(slots[t]), int(positions[t]), k[t], v[t])
    return cache


def attend(attrs: AttentionAttrs, q: Array, cache: KVCache, positions: Array, slots: Array, *extra: Array) -> Array:
    """Attention of every token of the step over the cached positions of its slot."""
    out = np.empty((*q.shape[:2], cache.state.v_dim), q.dtype)
    for t, position in enumerate(positions):
        seen = visible(attrs, int(position))
        k, v = cache.gather(int(slots[t]), seen)
        out[t] = attend_token(attrs, q[t], k, v, int(position), seen, extra)
    return out


def rope(attrs: RopeAttrs, x: Array, positions: Array, inv_freq: Array) -> Array:
    """Rotate pairs of `x` `[t, h, d]` by positions[t] · inv_freq[i] (Su et al. 2021, eq. 34)."""
    # HF computes the angles in f32 whatever the model's type; angle precision beyond that changes nothing.
    angle = positions[:, None, None].astype(x.dtype) * inv_freq.astype(x.dtype)
    cos, sin = np.cos(angle) * x.dtype.type(attrs.scale), np.sin(angle) * x.dtype.type(attrs.scale)
    turned, rest = x[..., : attrs.rotary_dim], x[..., attrs.rotary_dim :]
    if attrs.interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
        out = np.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(turned.shape)
    else:
        a, b = np.split(turned, 2, -1)
        out = np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
    return np.concatenate([out, rest], -1)


def _infer_rope(attrs: RopeAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, positions, inv_freq = types
    if x.rank != 3 or positions.shape != x.shape[:1] or inv_freq.shape != (attrs.rotary_dim // 2,):
        raise OpError(
            f"rope needs x [t, h, d], positions [t], inv_freq [{attrs.rotary_dim // 2}], "
            f"found {x}, {positions}, {inv_freq}"
        )
    if not isinstance(x.shape[2], int) or attrs.rotary_dim > x.shape[2]:
        raise OpError(f"rotary_dim {attrs.rotary_dim} exceeds the head of {x}")
    return (TensorType(x.shape, x.dtype),)


def _check_heads(
    q: TensorType, n_kv_heads: Dim, types: Sequence[TensorType], attrs: AttentionAttrs, fixed: int
) -> None:
    if q.rank != 3 or not isinstance(q.shape[1], int) or q.shape[1] % n_kv_heads:
        raise OpError(f"attention needs q [t, h, d] with h a multiple of {n_kv_heads} KV heads, found {q}")
    if len(types) != fixed + attrs.extra_operands:
        raise OpError(f"attention with {attrs} needs {fixed + attrs.extra_operands} operands, found {len(types)}")


def _infer_attention(attrs: AttentionAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    q, k, v = types[:3]
    _check_heads(q, k.shape[1], types, attrs, 4)
    if k.shape[2] != q.shape[2] or k.shape[:2] != v.shape[:2] or types[3].shape != q.shape[:1]:
        raise OpError(f"attention's q {q}, k {k} and v {v} do not fit together")
    return (TensorType((*q.shape[:2], v.shape[2]), q.dtype),)


@dataclass(frozen=True, slots=True)
class AttendAttrs(AttentionAttrs):
    """AttentionAttrs, and the sizes that the state declares: heads and width of the values read."""

    n_kv_heads: int = 0
    v_dim: int = 0


def _infer_append(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    state, k, v, positions, slots = types
    tokens = k.shape[:1]
    if state != STATE_TYPE or k.rank != 3 or v.rank != 3 or v.shape[:2] != k.shape[:2]:
        raise OpError(f"kv_append needs a state, k [t, h, d] and v [t, h, dv], found {state}, {k}, {v}")
    if positions.shape != tokens or slots.shape != tokens:
        raise OpError(f"kv_append needs a position and a slot for each row of {k}, found {positions}, {slots}")
    return (STATE_TYPE,)


def _infer_attend(attrs: AttendAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    q, state, positions, slots = types[:4]
    if state != STATE_TYPE or positions.shape != q.shape[:1] or slots.shape != q.shape[:1]:
        raise OpError(f"attend needs q, a state, positions and slots, found {', '.join(map(str, types[:4]))}")
    _check_heads(types[0], attrs.n_kv_heads, types, attrs, 4)
    return (TensorType((*types[0].shape[:2], attrs.v_dim), types[0].dtype),)


def _attend_ops(attrs: AttentionAttrs, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Dim:
    # 2·d for q·k, 2·dv for p·v, 5 for the softmax, per head and visible position (causal mean over the step).
    q = operands[0]
    seen: Dim = PAST + (q.shape[0] + sympy.Integer(1)) / 2
    if attrs.window is not None:
        seen = sympy.Min(seen, attrs.window + attrs.sinks)
    return q.shape[0] * q.shape[1] * seen * (2 * q.shape[2] + 2 * results[0].shape[2] + 5)


OPS = (
    Op("rope", "rotary position embedding of x [t, h, d]", Kind.OTHER, (3, 3), _infer_rope, rope,
       lambda attrs, t, r: r[0].elements * 4, RopeAttrs),
    Op("attention", "q, k, v, positions: attention among the tokens of one sequence", Kind.ATTENTION, (4, 6),
       _infer_attention, attention, _attend_ops, AttentionAttrs),
    Op("kv_append", "state, k, v, positions, slots: the state with the step's keys and values",
       Kind.ATTENTION, (5, 5), _infer_append, kv_append, lambda _a, _t, _r: 0),
    Op("attend", "q, state, positions, slots: attention over the cached positions of each token's slot",
       Kind.ATTENTION, (4, 6), _infer_attend, attend, _attend_ops, AttendAttrs),
)  # fmt: skip
