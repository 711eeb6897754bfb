"""Experts taken apart: the text, the numbers, and the kernels and arena that come of it."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import run_graph
from cosyn.ir.parser import parse
from cosyn.ir.verifier import check
from cosyn.passes.decompose_moe import DecomposeMoe
from cosyn.passes.fuse import fuse
from cosyn.passes.plan_memory import plan_memory
from cosyn.passes.quantize import Quantize
from cosyn.passes.recipe import RECIPES
from tests.passes.graphs import llama, random_weights
from tests.passes.plan_checks import check_fusion, check_memory

HEAD = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 32]
input %p : f32[seq, 2]
input %i : i32[seq, 2]
"""
GATED = HEAD + """\
weight @up : bf16[4, 16, 32] from "up"
weight @down : bf16[4, 32, 8] from "down"
"""  # fmt: skip
BIASED = HEAD + """\
weight @up : bf16[4, 8, 32] from "up"
weight @down : bf16[4, 32, 8] from "down"
weight @ub : bf16[4, 8] from "ub"
weight @db : bf16[4, 32] from "db"
"""  # fmt: skip
BEFORE = {
    "gated": GATED + '%y = moe(%x, %p, %i, @up, @down) {activation="silu"} : f32[seq, 32]\nreturn %y\n',
    "biased": BIASED + '%y = moe(%x, %p, %i, @up, @down, @ub, @db) {activation="gelu", gated=false} : '
    "f32[seq, 32]\nreturn %y\n",
}
AFTER = {
    "gated": GATED + """\
%y.up = expert_linear(%x, %i, @up) : f32[seq, 2, 16]
%y.gate = slice(%y.up) {axis=2, start=0, stop=8} : f32[seq, 2, 8]
%y.value = slice(%y.up) {axis=2, start=8, stop=16} : f32[seq, 2, 8]
%y.act = silu(%y.gate) : f32[seq, 2, 8]
%y.inner = mul(%y.act, %y.value) : f32[seq, 2, 8]
%y.down = expert_linear(%y.inner, %i, @down) : f32[seq, 2, 32]
%y = mix_experts(%y.down, %p) : f32[seq, 32]
return %y
""",
    "biased": BIASED + """\
%y.up = expert_linear(%x, %i, @up, @ub) : f32[seq, 2, 8]
%y.act = gelu(%y.up) : f32[seq, 2, 8]
%y.down = expert_linear(%y.act, %i, @down, @db) : f32[seq, 2, 32]
%y = mix_experts(%y.down, %p) : f32[seq, 32]
return %y
""",
}  # fmt: skip


def decomposed(text: str) -> Graph:
    return check(DecomposeMoe().run(check(parse(text))))


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_text_in_text_out(name: str) -> None:
    assert str(decomposed(BEFORE[name])) == AFTER[name]


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_the_numbers_stay(name: str) -> None:
    before = parse(BEFORE[name])
    weights = random_weights(before)
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.standard_normal((5, 32)), "p": rng.uniform(0, 1, (5, 2)),
        "i": np.array([[0, 1], [3, 2], [1, 3], [2, 0], [0, 3]], np.int32),
    }  # fmt: skip
    (expected,) = run_graph(before, inputs, weights.__getitem__, dtype=np.float64)
    (found,) = run_graph(decomposed(BEFORE[name]), inputs, weights.__getitem__, dtype=np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_graph_without_experts_stays_the_same_object() -> None:
    assert DecomposeMoe().run(graph := llama()) is graph


def test_activations_of_experts_stay_floats() -> None:
    graph = check(Quantize(RECIPES["w8a8"]).run(decomposed(BEFORE["biased"])))
    text = str(graph)
    assert "weight @up : bf16[4, 8, 32] as i8row:f32" in text
    assert "weight @down : bf16[4, 32, 8] as i8row:f32" in text
    assert "%y.up = expert_linear(%x, %i, @up, @ub.f32)" in text
    assert "quantize_rows" not in text


def test_kernels_and_arena() -> None:
    body = GATED.replace("input %i", "input %r : f32[seq, 32]\ninput %i") + """\
%y = moe(%x, %p, %i, @up, @down) {activation="silu"} : f32[seq, 32]
%z = add(%y, %r) : f32[seq, 32]
return %z
"""  # fmt: skip
    graph = decomposed(body)
    plan = fuse(graph)
    check_fusion(graph, plan)
    assert [(g.kind, *g.nodes) for g in plan.groups] == [
        ("expert_linear", "y.up"),
        ("elementwise", "y.gate", "y.value", "y.act", "y.inner"),
        ("expert_linear", "y.down"),
        ("elementwise", "y", "z"),
    ]
    memory = plan_memory(graph, plan, {"seq": 64})
    check_memory(graph, plan, memory)
    assert set(memory.buffers) == {"%y.up", "%y.inner", "%y.down"}
    assert memory.arena_bytes == memory.lower_bound_bytes == 64 * 2 * (8 + 32) * 4


def test_an_activation_without_a_gate_ends_the_kernel() -> None:
    groups = fuse(decomposed(BEFORE["biased"])).groups
    assert [g.nodes for g in groups] == [("y.up", "y.act"), ("y.down",), ("y",)]


def test_weights_of_mixing_are_not_computed_per_column() -> None:
    body = GATED + """\
%q = exp(%p) : f32[seq, 2]
%y = moe(%x, %q, %i, @up, @down) {activation="silu"} : f32[seq, 32]
return %y
"""  # fmt: skip
    assert ("q",) in [g.nodes for g in fuse(decomposed(body)).groups]
