"""Graphs that several tests use."""

from __future__ import annotations

import numpy as np

from cosyn.ir.graph import Graph
from cosyn.ir.parser import parse

LLAMA = """\
graph "llama"
dim seq in 1..64
input %token_ids : i32[seq]
input %positions : i32[seq]
weight @embed : bf16[48, 32] from "embed"
weight @freq : f32[4] from "freq"
weight @n0 : bf16[32] from "n0"
weight @wq : bf16[32, 32] from "q"
weight @wk : bf16[16, 32] from "k"
weight @wv : bf16[16, 32] from "v"
weight @wo : bf16[32, 32] from "o"
weight @n1 : bf16[32] from "n1"
weight @wg : bf16[64, 32] from "gate"
weight @wu : bf16[64, 32] from "up"
weight @wd : bf16[32, 64] from "down"
weight @nf : bf16[32] from "nf"
%h = embedding(%token_ids, @embed) : f32[seq, 32]
%x = rms_norm(%h, @n0) {eps=1e-05} : f32[seq, 32]
%q = linear(%x, @wq) : f32[seq, 32]
%k = linear(%x, @wk) : f32[seq, 16]
%v = linear(%x, @wv) : f32[seq, 16]
%qh = reshape(%q) {shape=[seq, 4, 8]} : f32[seq, 4, 8]
%kh = reshape(%k) {shape=[seq, 2, 8]} : f32[seq, 2, 8]
%vh = reshape(%v) {shape=[seq, 2, 8]} : f32[seq, 2, 8]
%qr = rope(%qh, %positions, @freq) {rotary_dim=8} : f32[seq, 4, 8]
%kr = rope(%kh, %positions, @freq) {rotary_dim=8} : f32[seq, 2, 8]
%a = attention(%qr, %kr, %vh, %positions) {scale=0.25} : f32[seq, 4, 8]
%ar = reshape(%a) {shape=[seq, 32]} : f32[seq, 32]
%o = linear(%ar, @wo) : f32[seq, 32]
%r0 = add(%h, %o) : f32[seq, 32]
%x1 = rms_norm(%r0, @n1) {eps=1e-05} : f32[seq, 32]
%g = linear(%x1, @wg) : f32[seq, 64]
%u = linear(%x1, @wu) : f32[seq, 64]
%gs = silu(%g) : f32[seq, 64]
%gu = mul(%gs, %u) : f32[seq, 64]
%d = linear(%gu, @wd) : f32[seq, 32]
%r1 = add(%r0, %d) : f32[seq, 32]
%xf = rms_norm(%r1, @nf) {eps=1e-05} : f32[seq, 32]
%logits = linear(%xf, @embed) : f32[seq, 48]
return %logits
"""
"""One layer of a Llama with a tied head."""


def llama() -> Graph:
    return parse(LLAMA)


def random_weights(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """A normally distributed array in the type of each float weight of `graph`, by key."""
    rng = np.random.default_rng(seed)
    return {
        w.key: (rng.normal(size=[int(str(d)) for d in w.type.shape]) * 0.3).astype(w.type.dtype.numpy)
        for w in graph.weights
    }


def llama_inputs(tokens: int, rows: list[int] | None = None) -> dict[str, np.ndarray]:
    """One sequence of `tokens` tokens from position 0; with `rows`, the inputs after all passes."""
    inputs = {"token_ids": np.arange(tokens) * 7 % 48, "positions": np.arange(tokens)}
    if rows is not None:
        inputs |= {"slots": np.zeros(tokens, int), "out_rows": np.array(rows)}
    return inputs
