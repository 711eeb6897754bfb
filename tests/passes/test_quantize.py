"""The quantize pass, text in and text out, and what it does to the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosyn.ir.dtype import DType
from cosyn.ir.interpreter import run_graph
from cosyn.ir.parser import parse
from cosyn.ir.verifier import check
from cosyn.ir.weight_format import WeightFormat
from cosyn.passes.quantize import Quantize
from cosyn.passes.recipe import RECIPES, Rule, load_recipe
from cosyn.passes.rtn import decode_rtn
from tests.passes.graphs import llama, llama_inputs, random_weights

HEAD = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 32]
"""


def quantized(text: str, recipe: str) -> str:
    return str(check(Quantize(RECIPES[recipe]).run(check(parse(HEAD + text)))))


ONE_LINEAR = """\
weight @w : bf16[8, 32] from "w"
weight @b : bf16[8] from "b"
%y = linear(%x, @w, @b) : f32[seq, 8]
return %y
"""


def test_a_linear_gets_a_format_and_its_bias_full_width() -> None:
    assert quantized(ONE_LINEAR, "w4a16_g32") == HEAD + """\
weight @w : bf16[8, 32] as i4g32:f16 from "w"
weight @b : bf16[8] from "b"
constant @b.f32 = cast(@b) {to=f32} : f32[8]
%y = linear(%x, @w, @b.f32) : f32[seq, 8]
return %y
"""  # fmt: skip


def test_floats_are_stored_in_the_type_of_the_recipe() -> None:
    assert 'weight @w : bf16[8, 32] from "w"' in quantized(ONE_LINEAR, "bf16")
    assert "constant @w.f16 = cast(@w) {to=f16} : f16[8, 32]" in quantized(ONE_LINEAR, "fp16")
    assert "constant @w.f32 = cast(@w) {to=f32} : f32[8, 32]" in quantized(ONE_LINEAR, "fp32")


def test_activations_are_rounded_before_bf16_weights() -> None:
    rounded = quantized(ONE_LINEAR, "bf16_a16")
    assert "%x.bf16 = round_bf16(%x) : f32[seq, 32]" in rounded
    assert "%y = linear(%x.bf16, @w, " in rounded


def test_activations_are_quantized_once_for_all_linears_that_read_them() -> None:
    assert quantized("""\
weight @w : f32[8, 32] from "w"
weight @u : f32[6, 32] from "u"
%y = linear(%x, @w) : f32[seq, 8]
%z = linear(%x, @u) : f32[seq, 6]
return %y, %z
""", "w8a8") == HEAD + """\
weight @w : f32[8, 32] as i8row:f32 from "w"
weight @u : f32[6, 32] as i8row:f32 from "u"
%x.i8 = quantize_rows(%x) : i8[seq, 32], f32[seq, 1]
%y = linear_i8(%x.i8, %x.i8.1, @w) : f32[seq, 8]
%z = linear_i8(%x.i8, %x.i8.1, @u) : f32[seq, 6]
return %y, %z
"""  # fmt: skip


def test_a_table_that_is_also_the_head_gets_both_forms() -> None:
    text = str(check(Quantize(RECIPES["w4a16_g32"]).run(llama())))
    assert "constant @embed.f16 = cast(@embed) {to=f16} : f16[48, 32]" in text
    assert "constant @embed.i4g32 = cast(@embed) {to=bf16} : bf16[48, 32] as i4g32:f16" in text
    assert "embedding(%token_ids, @embed.f16)" in text
    assert "linear(%xf, @embed.i4g32)" in text


def test_routers_keep_full_precision_and_experts_do_not() -> None:
    text = quantized("""\
weight @r : bf16[4, 32] from "r"
weight @up : bf16[4, 16, 32] from "up"
weight @down : bf16[4, 32, 8] from "down"
%l = linear(%x, @r) : f32[seq, 4]
%p = softmax(%l) : f32[seq, 4]
%t = topk(%p) {k=2} : f32[seq, 2], i32[seq, 2]
%h = expert_linear(%x, %t.1, @up) : f32[seq, 2, 16]
%a = slice(%h) {axis=2, start=0, stop=8} : f32[seq, 2, 8]
%o = expert_linear(%a, %t.1, @down) : f32[seq, 2, 32]
%y = mix_experts(%o, %t) : f32[seq, 32]
return %y
""", "w8a8")  # fmt: skip
    assert "%l = linear(%x, @r.f32)" in text
    assert "weight @up : bf16[4, 16, 32] as i8row:f32" in text
    assert "weight @down : bf16[4, 32, 8] as i8row:f32" in text


def test_integer_groups_need_not_divide_the_row() -> None:
    text = """\
weight @w : f32[8, 44] from "w"
%y = linear(%x, @w) : f32[seq, 8]
return %y
"""
    linear = check(parse(HEAD.replace("seq, 32", "seq, 44") + text))
    graph = check(Quantize(load_recipe("w4a8_g32_8of16")).run(linear))
    assert 'weight @w : f32[8, 44] as i4g32u8.8of16:f32 from "w"' in str(graph)
    assert parse(str(graph)) == graph


def test_rules_choose_per_tensor() -> None:
    recipe = replace(RECIPES["w4a16_g32"], rules=(Rule("o", WeightFormat(8, 16)), Rule("embed", DType.F16)))
    types = check(Quantize(recipe).run(llama())).types
    assert types["@wo"].format == WeightFormat(8, 16)
    assert types["@wq"].format == WeightFormat(4, 32)
    assert types["@embed.f16"].dtype is DType.F16
    assert "@embed.i4g32" not in types


def test_integer_weights_stay() -> None:
    text = """\
weight @m : i32[32] from "m"
%m = cast(@m) {to=f32} : f32[32]
%y = add(%x, %m) : f32[seq, 32]
return %y
"""
    assert quantized(text, "w4a16_g32") == HEAD + text


@pytest.mark.parametrize(
    ("recipe", "error"),
    [
        ("fp32", 1e-12),
        ("bf16", 1e-12),
        ("bf16_a16", 0.01),
        ("fp16", 5e-3),
        ("w8a16_g128", 0.03),
        ("w8a8", 0.05),
        ("w4a8_g32", 0.4),
    ],
)
def test_the_numbers_stay_close(recipe: str, error: float) -> None:
    graph = llama()
    weights = random_weights(graph)
    inputs = llama_inputs(7)
    (expected,) = run_graph(graph, inputs, weights.__getitem__, dtype=np.float64)
    after = Quantize(RECIPES[recipe]).run(graph)
    (found,) = run_graph(after, inputs, weights.__getitem__, dtype=np.float64, stored=decode_rtn)
    assert np.abs(found - expected).max() <= error * np.abs(expected).max()
