"""Rotary embedding and attention against torch in float64; state against attention without state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import OPS, OpError, make_node
from cosyn.ir.ops.attention import AttendAttrs, AttentionAttrs, KVCache, RopeAttrs
from cosyn.ir.types import SEQ, STATE_TYPE, TensorType


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("rotary_dim", [8, 4])
def test_rope_turns_pairs_as_complex_numbers(interleaved: bool, rotary_dim: int) -> None:
    x, positions = normal(5, 3, 8), np.array([0, 1, 5, 100, 7], np.int32)
    inv_freq = 10000.0 ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    found = OPS["rope"].reference(RopeAttrs(rotary_dim, interleaved, 1.5), x, positions, inv_freq)
    turned = torch.from_numpy(x[..., :rotary_dim])
    if interleaved:
        pairs = torch.complex(turned[..., 0::2], turned[..., 1::2])
    else:
        pairs = torch.complex(*turned.chunk(2, -1))
    angle = torch.from_numpy(positions[:, None, None] * inv_freq)
    result = pairs * torch.polar(torch.full_like(angle, 1.5), angle)
    if interleaved:
        expected = torch.view_as_real(result).flatten(-2)
    else:
        expected = torch.cat([result.real, result.imag], -1)
    np.testing.assert_allclose(found[..., :rotary_dim], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found[..., rotary_dim:], x[..., rotary_dim:])


def expected_attention(
    attrs: AttentionAttrs, q: np.ndarray, k: np.ndarray, v: np.ndarray, extra: list[np.ndarray]
) -> np.ndarray:
    """Attention of positions 0…n-1 by torch, from a mask over all pairs."""
    tokens, heads = q.shape[:2]
    tq, tk, tv = (torch.from_numpy(a).transpose(0, 1) for a in (q, k, v))
    tk, tv = (a.repeat_interleave(heads // a.shape[0], 0) for a in (tk, tv))
    scores = tq @ tk.transpose(1, 2) * attrs.scale
    if attrs.softcap:
        scores = torch.tanh(scores / attrs.softcap) * attrs.softcap
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)[None]
    if attrs.alibi:
        scores = scores + torch.from_numpy(extra[0])[:, None, None] * (j - i)
    seen = j <= i
    if attrs.window is not None:
        seen = seen & ((j > i - attrs.window) | (j < attrs.sinks))
    seen = seen.expand(heads, -1, -1)
    if attrs.mask_block:
        seen = seen & (torch.from_numpy(extra[-1])[:, i // attrs.mask_block, j // attrs.mask_block] != 0)
    scores = scores.masked_fill(~seen, -torch.inf)
    return torch.nan_to_num(F.softmax(scores, -1) @ tv, nan=0.0).transpose(0, 1).numpy()


PATTERNS = {
    "causal": AttentionAttrs(0.3),
    "window": AttentionAttrs(0.3, window=4),
    "sinks": AttentionAttrs(0.3, window=3, sinks=2),
    "softcap": AttentionAttrs(0.7, softcap=1.5),
    "alibi": AttentionAttrs(0.3, alibi=True),
    "blocks": AttentionAttrs(0.3, mask_block=3),
    "everything": AttentionAttrs(0.3, window=5, sinks=1, softcap=2.0, alibi=True, mask_block=4),
}


def operands(
    attrs: AttentionAttrs, tokens: int, heads: int, kv_heads: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    q, k, v = (
        normal(tokens, heads, 6),
        normal(tokens, kv_heads, 6, seed=1),
        normal(tokens, kv_heads, 5, seed=2),
    )
    extra = []
    if attrs.alibi:
        extra.append(-np.abs(normal(heads, seed=3)))
    if attrs.mask_block:
        rows = -(-tokens // attrs.mask_block)
        extra.append((np.random.default_rng(4).random((heads, rows, rows)) < 0.6).astype(np.uint8))
    return [q, k, v], extra


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize(("tokens", "heads", "kv_heads"), [(1, 1, 1), (7, 4, 2), (13, 3, 1)])
def test_attention_equals_torch(name: str, tokens: int, heads: int, kv_heads: int) -> None:
    attrs = PATTERNS[name]
    qkv, extra = operands(attrs, tokens, heads, kv_heads)
    found = OPS["attention"].reference(attrs, *qkv, np.arange(tokens), *extra)
    np.testing.assert_allclose(found, expected_attention(attrs, *qkv, extra), rtol=1e-11, atol=1e-12)


def attend(
    attrs: AttentionAttrs,
    state: KVState,
    chunks: list[tuple[np.ndarray, np.ndarray]],
    data: dict[int, list[np.ndarray]],
    extra: list[np.ndarray],
) -> dict[int, list[np.ndarray]]:
    """Run `chunks` of (slots, positions) through kv_append and attend; returns rows by slot."""
    cache, rows = KVCache(state), {slot: [] for slot in data}
    for slots, positions in chunks:
        q, k, v = (np.stack([data[s][i][p] for s, p in zip(slots, positions, strict=True)]) for i in range(3))
        written = OPS["kv_append"].reference(NO_ATTRS, cache, k, v, positions, slots)
        out = OPS["attend"].reference(attrs, q, written, positions, slots, *extra)
        for row, slot in zip(out, slots, strict=True):
            rows[int(slot)].append(row)
    return rows


@pytest.mark.parametrize("name", PATTERNS)
def test_chunks_of_several_sequences_give_what_whole_sequences_give(name: str) -> None:
    attrs = PATTERNS[name]
    qkv, extra = operands(attrs, 13, 4, 2)
    data = {0: qkv, 1: [a[::-1].copy() for a in qkv]}
    state = KVState("kv", 2, 6, DType.F32, value_dim=5, window=attrs.window or 0, sinks=attrs.sinks)
    # Sequence 0 as 5 + 1 + 7 tokens, sequence 1 interleaved with it.
    chunks = [
        (np.array([0] * 5 + [1] * 3), np.array([*range(5), *range(3)])),
        (np.array([1, 0]), np.array([3, 5])),
        (np.array([0] * 7 + [1] * 9), np.array([*range(6, 13), *range(4, 13)])),
    ]
    rows = attend(attrs, state, chunks, data, extra)
    for slot, (q, k, v) in data.items():
        expected = OPS["attention"].reference(attrs, q, k, v, np.arange(13), *extra)
        np.testing.assert_allclose(np.stack(rows[slot]), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("dtype", "error"), [(DType.F16, 2e-3), (DType.I8, 2e-2)])
def test_a_narrow_cache_rounds_what_it_stores(dtype: DType, error: float) -> None:
    attrs = PATTERNS["causal"]
    qkv, _ = operands(attrs, 9, 4, 2)
    chunk = [(np.zeros(9, np.int32), np.arange(9))]
    rows = attend(attrs, KVState("kv", 2, 6, dtype, value_dim=5), chunk, {0: qkv}, [])
    expected = expected_attention(attrs, *qkv, [])
    difference = np.abs(np.stack(rows[0]) - expected).max()
    assert 0 < difference < error


def test_a_state_knows_its_bytes() -> None:
    assert KVState("kv", 2, 64, DType.F16).bytes_per_token == 2 * (64 + 64) * 2
    assert KVState("kv", 2, 64, DType.I8).bytes_per_token == 2 * (128 + 8)


def test_refusals() -> None:
    def f32(*shape: object) -> TensorType:
        return TensorType(shape, DType.F32)  # type: ignore[arg-type]  # dimensions

    token = TensorType((SEQ,), DType.I32)
    with pytest.raises(OpError, match="h a multiple of 3 KV heads"):
        make_node(
            "y",
            "attention",
            list("qkvp"),
            [f32(SEQ, 4, 8), f32(SEQ, 3, 8), f32(SEQ, 3, 8), token],
            AttentionAttrs(1.0),
        )
    with pytest.raises(OpError, match="do not fit together"):
        make_node(
            "y",
            "attention",
            list("qkvp"),
            [f32(SEQ, 4, 8), f32(SEQ, 2, 6), f32(SEQ, 2, 8), token],
            AttentionAttrs(1.0),
        )
    with pytest.raises(OpError, match="needs 5 operands, found 4"):
        make_node("y", "attention", list("qkvp"), [f32(SEQ, 4, 8)] * 3 + [token], AttentionAttrs(1.0, alibi=True))
    with pytest.raises(OpError, match="attend needs q, a state"):
        make_node(
            "y",
            "attend",
            list("qkvp"),
            [f32(SEQ, 4, 8)] * 3 + [token],
            AttendAttrs(1.0, n_kv_heads=2, v_dim=8),
        )
    wrong = TensorType((3,), DType.I32)
    with pytest.raises(OpError, match="kv_append needs a position and a slot"):
        make_node("y", "kv_append", list("skvpq"), [STATE_TYPE, f32(SEQ, 2, 8), f32(SEQ, 2, 8), token, wrong])
    with pytest.raises(OpError, match="rotary_dim 16 exceeds"):
        make_node("y", "rope", list("xpf"), [f32(SEQ, 2, 8), token, f32(8)], RopeAttrs(16))
