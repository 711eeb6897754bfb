"""Attention over the INT8 cache, as the accelerator computes it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.numerics.element import Mask
from cosyn.accelerator_model.numerics.float32 import F32
from cosyn.accelerator_model.numerics.integer import integer_product, scaled
from cosyn.accelerator_model.numerics.pass_execution import run
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs

Codes = npt.NDArray[np.int8]

_FIRST_CAPACITY = 64


class CacheContent(NamedTuple):
    """Cached keys and values of one layer: codes i8 [heads, positions, d] and scales f32 [heads, positions]."""

    keys: Codes
    key_scales: F32
    values: Codes
    value_scales: F32


class QuantizedCache:
    """Keys and values of one layer and one sequence: INT8 codes, one f32 scale per head and position."""

    def __init__(self, state: KVState) -> None:
        self.length = 0
        heads = state.n_kv_heads
        self.key_codes: Codes = np.zeros((heads, _FIRST_CAPACITY, state.head_dim), np.int8)
        self.value_codes: Codes = np.zeros((heads, _FIRST_CAPACITY, state.v_dim), np.int8)
        self.key_scales: F32 = np.zeros((heads, _FIRST_CAPACITY), np.float32)
        self.value_scales: F32 = np.zeros((heads, _FIRST_CAPACITY), np.float32)

    def restore(self, content: CacheContent) -> None:
        """Hold a copy of these positions, and no others."""
        self.key_codes, self.value_codes = content.keys.copy(), content.values.copy()
        self.key_scales, self.value_scales = content.key_scales.copy(), content.value_scales.copy()
        self.length = content.keys.shape[1]

    def append(self, keys: F32, values: F32, lanes: int) -> None:
        """Quantize and write the next positions: `keys` [t, heads, head_dim], `values` [t, heads, v_dim]."""
        end = self.length + len(keys)
        while end > self.key_codes.shape[1]:
            self._double()
        rows = slice(self.length, end)
        self.key_codes[:, rows], self.key_scales[:, rows] = _quantized(keys, lanes)
        self.value_codes[:, rows], self.value_scales[:, rows] = _quantized(values, lanes)
        self.length = end

    def _double(self) -> None:
        for name in ("key_codes", "value_codes", "key_scales", "value_scales"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)], 1))


def _quantized(x: F32, lanes: int) -> tuple[npt.NDArray[np.int8], F32]:
    """Codes [heads, t, d] and scales [heads, t] of `x` [t, heads, d]."""
    env = run(sequences.quantize_rows(), {"x": np.swapaxes(x, 0, 1)}, lanes)
    return env["codes"], env["scale"]


def attend(
    attrs: AttentionAttrs, q: F32, cache: QuantizedCache, positions: npt.NDArray[Any], extra: list[F32], lanes: int
) -> F32:
    """Attention of the queries `q` [t, h, d] at `positions` [t] over the cache; f32 [t, h, v_dim].

    `extra`: ALiBi slopes [h] and the block mask [h, rows, rows], where `attrs` has them.
    """
    tokens, heads, _ = q.shape
    shared, n = len(cache.key_codes), cache.length
    group = heads // shared
    codes, scales = _quantized(q, lanes)
    # Rows of one key and value head: its query heads, each with all tokens.
    codes = codes.reshape(shared, group * tokens, -1)
    scales = scales.reshape(shared, group * tokens)
    sums = integer_product(codes, cache.key_codes[:, :n])
    env: dict[str, Any] = {
        "scores": scaled(sums, cache.key_scales[:, :n], scales),
        "value_scale": cache.value_scales[:, :n],
    }
    if attrs.alibi:
        env["column"] = np.broadcast_to(np.arange(n, dtype=np.float32), (shared, n))
        env["position"] = np.broadcast_to(positions.astype(np.float32), (shared, group, tokens)).reshape(shared, -1)
        env["slope"] = np.repeat(extra[0].astype(np.float32), tokens).reshape(shared, -1)
    masked = attrs.mask_block > 0
    if masked:
        env["penalty"] = _penalties(attrs.mask_block, positions, n, extra[-1]).reshape(shared, group * tokens, n)
    steps = sequences.softmax_codes(attrs.scale, softcap=attrs.softcap, alibi=attrs.alibi, penalties=masked)
    seen = np.broadcast_to(_visible(attrs, positions, n), (shared, group, tokens, n))
    run(steps, env, lanes, seen.reshape(shared, group * tokens, n))
    values = np.ascontiguousarray(np.swapaxes(cache.value_codes[:, :n], 1, 2))
    out = scaled(integer_product(env["codes"], values), None, env["token_scale"])
    return np.ascontiguousarray(out.reshape(heads, tokens, -1).swapaxes(0, 1))


def _visible(attrs: AttentionAttrs, positions: npt.NDArray[Any], n: int) -> Mask:
    """Which cached positions each query sees through causality, window and sinks: bool [t, n]."""
    p, j = positions[:, None], np.arange(n)[None]
    seen: Mask = j <= p
    if attrs.window is not None:
        seen = seen & ((j > p - attrs.window) | (j < attrs.sinks))
    return seen


def _penalties(block: int, positions: npt.NDArray[Any], n: int, mask: npt.NDArray[Any]) -> F32:
    """What a mask u8 [h, rows, rows] adds to the scores of each query: f32 [h, t, n]."""
    blocks = mask[:, positions[:, None] // block, np.arange(n)[None] // block]
    return np.where(blocks != 0, np.float32(0), np.float32(sequences.HIDDEN))
