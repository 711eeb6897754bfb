"""Merging linears, text in and text out."""

from __future__ import annotations

from dataclasses import replace

from cosyn.ir.dtype import DType
from cosyn.ir.parser import parse
from cosyn.ir.verifier import check
from cosyn.passes.merge_linears import MergeLinears
from cosyn.passes.recipe import RECIPES, Recipe, Rule
from tests.passes.graphs import llama

W4 = RECIPES["w4a16_g32"]


def merged(text: str, recipe: Recipe = W4) -> str:
    return str(check(MergeLinears(recipe).run(check(parse(text)))))


HEAD = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 32]
"""


def test_linears_of_one_value_become_one() -> None:
    assert merged(HEAD + """\
weight @l.q.weight : f32[8, 32] from "q"
weight @l.k.weight : f32[4, 32] from "k"
weight @l.q.bias : f32[8] from "qb"
weight @l.k.bias : f32[4] from "kb"
%l.q = linear(%x, @l.q.weight, @l.q.bias) : f32[seq, 8]
%s = silu(%l.q) : f32[seq, 8]
%l.k = linear(%x, @l.k.weight, @l.k.bias) : f32[seq, 4]
return %s, %l.k
""") == HEAD + """\
weight @l.q.weight : f32[8, 32] from "q"
weight @l.k.weight : f32[4, 32] from "k"
weight @l.q.bias : f32[8] from "qb"
weight @l.k.bias : f32[4] from "kb"
constant @l.q_k.weight = concat(@l.q.weight, @l.k.weight) {axis=0} : f32[12, 32]
constant @l.q_k.bias = concat(@l.q.bias, @l.k.bias) {axis=0} : f32[12]
%l.q_k = linear(%x, @l.q_k.weight, @l.q_k.bias) : f32[seq, 12]
%l.q = slice(%l.q_k) {axis=1, start=0, stop=8} : f32[seq, 8]
%s = silu(%l.q) : f32[seq, 8]
%l.k = slice(%l.q_k) {axis=1, start=8, stop=12} : f32[seq, 4]
return %s, %l.k
"""  # fmt: skip


def two_linears(second_weight: str, second: str = "linear(%x, @b)") -> str:
    return (
        HEAD
        + f"""\
weight @a : f32[8, 32] from "model.a"
{second_weight}
weight @c : f32[8] from "model.c"
%p = linear(%x, @a) : f32[seq, 8]
%r = {second} : f32[seq, 8]
return %p, %r
"""
    )


def unchanged(text: str, recipe: Recipe = W4) -> bool:
    return merged(text, recipe) == text


def test_left_alone() -> None:
    same = 'weight @b : f32[8, 32] from "model.b"'
    assert not unchanged(two_linears(same))
    assert unchanged(two_linears('weight @b : f16[8, 32] from "model.b"')), "weights of another type"
    assert unchanged(two_linears(same, "linear(%x, @b, @c)")), "one of them without a bias"
    assert unchanged(two_linears(same, "linear(%x, @a)")), "the same weight twice"
    odd = two_linears('weight @b : f32[7, 32] from "model.b"').replace("f32[seq, 8]\nreturn", "f32[seq, 7]\nreturn")
    assert unchanged(odd), "rows that would leave slices unaligned"


def test_what_the_recipe_stores_differently_is_not_joined() -> None:
    recipe = replace(W4, rules=(Rule("*.b", DType.F16),))
    assert unchanged(two_linears('weight @b : f32[8, 32] from "model.b"'), recipe)


def test_routers_are_not_joined_with_experts() -> None:
    assert unchanged(HEAD + """\
weight @router : f32[8, 32] from "router"
weight @shared : f32[8, 32] from "shared"
%r = linear(%x, @router) : f32[seq, 8]
%p = softmax(%r) : f32[seq, 8]
%t = topk(%p) {k=2} : f32[seq, 2], i32[seq, 2]
%s = linear(%x, @shared) : f32[seq, 8]
return %t, %t.1, %s
""")  # fmt: skip


def test_a_llama_layer_has_four_linears_and_a_head() -> None:
    graph = check(MergeLinears(W4).run(llama()))
    assert [n.name for n in graph.nodes if n.op == "linear"] == ["q_k_v", "o", "g_u", "d", "logits"]
    assert [n.name for n in graph.constants] == ["wq_wk_wv", "wg_wu"]
