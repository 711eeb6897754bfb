"""Explicit state, attention patterns, and selected rows, text in and text out."""

from __future__ import annotations

import pytest

from cosyn.ir.dtype import DType
from cosyn.ir.parser import parse
from cosyn.ir.verifier import check
from cosyn.passes.base import PassError
from cosyn.passes.explicit_state import ExplicitState
from cosyn.passes.select_rows import SelectRows
from cosyn.passes.sparse_attention import BlockMask, SparseAttention
from tests.passes.graphs import llama

HEAD = """\
graph "g"
dim seq in 1..64
input %q : f32[seq, 4, 8]
input %k : f32[seq, 2, 8]
input %v : f32[seq, 2, 6]
input %positions : i32[seq]
"""


def test_attention_becomes_append_and_attend() -> None:
    graph = parse(HEAD + """\
%a = attention(%q, %k, %v, %positions) {scale=0.5} : f32[seq, 4, 6]
%b = attention(%q, %k, %v, %positions) {scale=0.5, window=9, sinks=2} : f32[seq, 4, 6]
%y = add(%a, %b) : f32[seq, 4, 6]
return %y
""")  # fmt: skip
    assert str(check(ExplicitState(DType.F16).run(graph))) == HEAD + """\
input %slots : i32[seq]
state $kv0 {n_kv_heads=2, head_dim=8, dtype=f16, value_dim=6}
state $kv1 {n_kv_heads=2, head_dim=8, dtype=f16, value_dim=6, window=9, sinks=2}
%kv0.written = kv_append($kv0, %k, %v, %positions, %slots) : state
%a = attend(%q, %kv0.written, %positions, %slots) {scale=0.5, n_kv_heads=2, v_dim=6} : f32[seq, 4, 6]
%kv1.written = kv_append($kv1, %k, %v, %positions, %slots) : state
%b = attend(%q, %kv1.written, %positions, %slots) {scale=0.5, window=9, sinks=2, WIDTHS} : f32[seq, 4, 6]
%y = add(%a, %b) : f32[seq, 4, 6]
return %y
""".replace("WIDTHS", "n_kv_heads=2, v_dim=6")  # fmt: skip


ATTENTION = (
    HEAD
    + """\
%a = attention(%q, %k, %v, %positions) {scale=0.5} : f32[seq, 4, 6]
return %a
"""
)


def test_patterns_narrow_attention() -> None:
    mask = BlockMask("mask", n_heads=4, rows=4, block=16)
    graph = check(SparseAttention(window=16, sinks=4, mask=mask, max_seq=64).run(parse(ATTENTION)))
    assert str(graph) == HEAD + """\
weight @block_mask : u8[4, 4, 4] from "mask"
%a = attention(%q, %k, %v, %positions, @block_mask) {PATTERN} : f32[seq, 4, 6]
return %a
""".replace("PATTERN", "scale=0.5, window=16, sinks=4, mask_block=16")  # fmt: skip


def test_a_narrower_window_of_the_model_stays() -> None:
    own = ATTENTION.replace("{scale=0.5}", "{scale=0.5, window=8}")
    graph = SparseAttention(window=16, sinks=2).run(parse(own))
    assert "{scale=0.5, window=8, sinks=2}" in str(graph)
    assert "sinks" not in str(SparseAttention(sinks=2).run(parse(ATTENTION))), "without a window all is seen"
    assert SparseAttention().run(parse(ATTENTION)) == parse(ATTENTION)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (BlockMask("m", 3, 4, 16), "the block mask has 3 heads; .* %a has 4 heads"),
        (BlockMask("m", 4, 2, 16), "covers 2 blocks of 16, 32 in all; expected at least max_seq = 64"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: BlockMask, message: str) -> None:
    with pytest.raises(PassError, match=message):
        SparseAttention(mask=mask, max_seq=64).run(parse(ATTENTION))


def test_rows_are_taken_after_the_last_residual() -> None:
    graph = check(SelectRows(8).run(llama()))
    assert str(graph).splitlines()[-5:] == [
        "%r1 = add(%r0, %d) : f32[seq, 32]",
        "%r1.out = take(%r1, %out_rows) : f32[out, 32]",
        "%xf = rms_norm(%r1.out, @nf) {eps=1e-05} : f32[out, 32]",
        "%logits = linear(%xf, @embed) : f32[out, 48]",
        "return %logits",
    ]
    assert graph.dims == {"seq": (1, 64), "out": (1, 8)}


TAIL = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 8]
weight @w : f32[6, 8] from "w"
weight @n : f32[8] from "n"
%r = add(%x, %x) : f32[seq, 8]
"""


def test_a_norm_in_pieces_and_a_capped_head_come_after_the_cut() -> None:
    graph = check(SelectRows(8).run(parse(TAIL + """\
%two = scalar() {value=2.0} : f32[]
%s = mul(%r, %r) : f32[seq, 8]
%m = mean(%s) : f32[seq, 1]
%i = rsqrt(%m) : f32[seq, 1]
%n = mul(%r, %i) : f32[seq, 8]
%b = add(%n, @n) : f32[seq, 8]
%h = reshape(%b) {shape=[seq, 2, 4]} : f32[seq, 2, 4]
%f = reshape(%h) {shape=[seq, 8]} : f32[seq, 8]
%l = linear(%f, @w) : f32[seq, 6]
%y = div(%l, %two) : f32[seq, 6]
return %y
""")))  # fmt: skip
    assert [n.name for n in graph.nodes][:3] == ["r", "r.out", "two"]
    assert [str(t) for n in graph.nodes[3:] for t in n.types] == [
        "f32[out, 8]", "f32[out, 1]", "f32[out, 1]", "f32[out, 8]", "f32[out, 8]", "f32[out, 2, 4]",
        "f32[out, 8]", "f32[out, 6]", "f32[out, 6]",
    ]  # fmt: skip


def test_what_mixes_tokens_comes_before_the_cut() -> None:
    graph = check(SelectRows(8).run(parse(TAIL + """\
%t = transpose(%r) {perm=[1, 0]} : f32[8, seq]
%s = softmax(%t) : f32[8, seq]
%u = transpose(%s) {perm=[1, 0]} : f32[seq, 8]
%y = linear(%u, @w) : f32[seq, 6]
return %y
""")))  # fmt: skip
    assert [n.name for n in graph.nodes] == ["r", "t", "s", "u", "u.out", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TAIL + "return %r, %x\n", "expected one output with a row per token, found %r, %x"),
        (TAIL + "return @w\n", "expected one output with a row per token, found @w"),
        (TAIL + "return %x\n", "expected an output that a node computes, found %x"),
    ],
)
def test_other_outputs_are_refused(text: str, message: str) -> None:
    with pytest.raises(PassError, match=message):
        SelectRows(8).run(parse(text))
