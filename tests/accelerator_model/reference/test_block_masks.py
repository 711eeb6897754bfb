"""Attention with a block mask in the accelerator's arithmetic, beside a softmax in float64 and beside windows."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.reference.attention import QuantizedCache, attend
from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs

HEADS, SHARED, SIZE, LENGTH, LANES = 6, 2, 16, 40, 4
Array = np.ndarray


def inputs(seed: int) -> tuple[Array, QuantizedCache]:
    """Queries of every position, and a cache that holds all of them."""
    random = np.random.default_rng(seed)
    cache = QuantizedCache(KVState("kv", SHARED, SIZE, DType.I8))
    keys, values = (random.standard_normal((LENGTH, SHARED, SIZE)).astype(np.float32) for _ in range(2))
    cache.append(keys, values, LANES)
    return random.standard_normal((LENGTH, HEADS, SIZE)).astype(np.float32), cache


def ours(attrs: AttentionAttrs, q: Array, cache: QuantizedCache, extra: list[Array]) -> Array:
    return attend(attrs, q, cache, np.arange(LENGTH), extra, LANES)


def exact(attrs: AttentionAttrs, q: Array, cache: QuantizedCache, extra: list[Array]) -> Array:
    """Softmax over what is seen, in float64, of the cache as it is stored; zero where nothing is."""
    keys = cache.key_codes[:, :LENGTH] * cache.key_scales[:, :LENGTH, None].astype(float)
    values = cache.value_codes[:, :LENGTH] * cache.value_scales[:, :LENGTH, None].astype(float)
    out = np.zeros((LENGTH, HEADS, SIZE))
    for head in range(HEADS):
        shared = head // (HEADS // SHARED)
        for p in range(LENGTH):
            seen = [j for j in range(p + 1) if attrs.window is None or j > p - attrs.window or j < attrs.sinks]
            seen = [j for j in seen if extra[-1][head, p // attrs.mask_block, j // attrs.mask_block]]
            if not seen:
                continue
            scores = keys[shared, seen] @ q[p, head].astype(float) * attrs.scale
            if attrs.softcap is not None:
                scores = attrs.softcap * np.tanh(scores / attrs.softcap)
            if attrs.alibi:
                scores = scores + extra[0][head] * (np.array(seen) - p)
            weights = np.exp(scores - scores.max())
            out[p, head] = weights @ values[shared, seen] / weights.sum()
    return out


@pytest.mark.parametrize("block", [1, 3, 16, 64])
@pytest.mark.parametrize(
    "pattern",
    [{}, {"window": 12, "sinks": 2}, {"softcap": 3.0}, {"alibi": True}, {"alibi": True, "softcap": 3.0, "window": 9}],
)
def test_it_is_the_softmax_over_what_is_seen(block: int, pattern: dict[str, object]) -> None:
    q, cache = inputs(0)
    rows = -(-LENGTH // block)
    mask = (np.random.default_rng(block).random((HEADS, rows, rows)) < 0.5).astype(np.uint8)
    mask[1, rows // 2], mask[2] = 0, 0
    attrs = AttentionAttrs(scale=0.25, mask_block=block, **pattern)  # type: ignore[arg-type]  # fields of the record
    slopes = [np.linspace(0.1, 0.6, HEADS).astype(np.float32)] if attrs.alibi else []
    found, expected = ours(attrs, q, cache, [*slopes, mask]), exact(attrs, q, cache, [*slopes, mask])
    # Queries and probabilities are INT8.
    assert np.abs(found - expected).max() < 0.04 * np.abs(expected).max()
    blind = ~np.abs(expected).any(axis=2)
    assert blind[:, 2].all()
    assert blind.sum() > LENGTH
    assert not found[blind].any()


@pytest.mark.parametrize(("window", "sinks"), [(7, 0), (5, 3), (1, 0)])
def test_blocks_of_one_position_have_the_bits_of_a_window(window: int, sinks: int) -> None:
    q, cache = inputs(1)
    i, j = np.arange(LENGTH)[:, None], np.arange(LENGTH)[None]
    mask = np.broadcast_to((j > i - window) | (j < sinks), (HEADS, LENGTH, LENGTH)).astype(np.uint8)
    found = ours(AttentionAttrs(scale=0.25, mask_block=1), q, cache, [mask])
    expected = ours(AttentionAttrs(scale=0.25, window=window, sinks=sinks), q, cache, [])
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_a_hidden_score_may_be_far_above_those_that_are_seen() -> None:
    """The maximum is that of what is seen: the others would make e^(score - maximum) zero."""
    q, cache = inputs(2)
    cache.key_scales[:, 0] *= 1e6
    mask = np.ones((HEADS, LENGTH, LENGTH), np.uint8)
    mask[:, :, 0] = 0
    attrs = AttentionAttrs(scale=0.25, mask_block=1)
    found, expected = ours(attrs, q, cache, [mask]), exact(attrs, q, cache, [mask])
    assert np.abs(found - expected).max() < 0.04 * np.abs(expected).max()
