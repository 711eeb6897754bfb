"""Costs of nodes and kernels: arithmetic and traffic at given sizes."""

from __future__ import annotations

from cosyn.ir.graph import Graph
from cosyn.ir.ops import node_cost
from cosyn.ir.parser import parse
from cosyn.ir.types import bind_dim
from cosyn.passes.cost import KernelCost, kernel_costs
from cosyn.passes.fuse import fuse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from tests.passes.graphs import llama


def lowered(recipe: str) -> Graph:
    return run_passes(llama(), passes(Options(load_recipe(recipe)), 64))[0]


def costs(recipe: str, **bindings: int) -> dict[str, KernelCost]:
    graph = lowered(recipe)
    return {c.group: c for c in kernel_costs(graph, fuse(graph), bindings)}


def test_a_decode_step_reads_the_stored_bytes_of_its_weights() -> None:
    found = costs("w4a16_g32", seq=1, out=1, past=10)
    # 64 rows of 32 four-bit codes and one 16-bit scale; 32 inputs and 64 results in f32.
    assert found["q_k_v"] == KernelCost("q_k_v", "linear", 2 * 64 * 32, 64 * (16 + 2) + 32 * 4, 64 * 4)
    # A residual is an operand more and an addition more.
    assert found["o"] == KernelCost("o", "linear", 2 * 32 * 32 + 32, 32 * 18 + 2 * 32 * 4, 32 * 4)


def test_a_table_costs_the_rows_that_are_read() -> None:
    found = costs("w4a16_g32", seq=3, out=1, past=0)["x"]
    assert found.read == 3 * 4 + 3 * 32 * 2 + 32 * 4
    assert found.written == 2 * 3 * 32 * 4


def test_slices_cost_what_they_take() -> None:
    found = costs("fp32", seq=2, out=1, past=0)
    # All of the product, positions, slots and frequencies; queries, and keys and values of the cache.
    assert found["kv0.written"].read == 2 * 64 * 4 + 2 * 2 * 4 + 4 * 4
    assert found["kv0.written"].written == 2 * 32 * 4 + 2 * 32 * 4
    assert found["gu"].read == 2 * found["gu"].written == 2 * 128 * 4


def test_attention_reads_the_cache() -> None:
    for past in (0, 100):
        found = costs("fp32_kv8", seq=1, out=1, past=past)["a"]
        per_position = 2 * (8 + 8 + 2 * 4)
        assert found.read == (past + 1) * per_position + 4 * 8 * 4 + 2 * 4
        assert found.ops == (past + 1) * 4 * (2 * 8 + 2 * 8 + 5)


def test_a_window_bounds_the_cost_of_attention() -> None:
    graph = parse("""\
graph "g"
dim seq in 1..64
input %q : f32[seq, 1, 8]
input %p : i32[seq]
state $kv {n_kv_heads=1, head_dim=8, dtype=f32, window=16, sinks=4}
%s = kv_append($kv, %q, %q, %p, %p) : state
%y = attend(%q, %s, %p, %p) {scale=1.0, window=16, sinks=4, n_kv_heads=1, v_dim=8} : f32[seq, 1, 8]
return %y
""")
    cost = node_cost(graph, graph.nodes[1])
    for past, seen in ((3, 4), (1000, 20)):
        assert bind_dim(cost.read, {"seq": 1, "past": past}) == seen * 64 + 32 + 8
        assert bind_dim(cost.ops, {"seq": 1, "past": past}) == seen * 37
    assert bind_dim(node_cost(graph, graph.nodes[0]).written, {"seq": 3}) == 3 * 64


def test_experts_that_nobody_chose_are_not_read() -> None:
    graph = parse("""\
graph "g"
dim seq in 1..64
input %x : f32[seq, 8]
input %p : f32[seq, 2]
input %i : i32[seq, 2]
weight @up : f32[16, 6, 8] from "up"
weight @down : f32[16, 8, 3] from "down"
%y = moe(%x, %p, %i, @up, @down) {activation="silu"} : f32[seq, 8]
return %y
""")
    cost = node_cost(graph, graph.nodes[0])
    expert = (6 * 8 + 8 * 3) * 4
    for seq, experts in ((1, 2), (3, 6), (64, 16)):
        assert bind_dim(cost.read, {"seq": seq}) == experts * expert + seq * (8 * 4 + 2 * 4 + 2 * 4)


def test_intensity_is_operations_per_byte() -> None:
    assert KernelCost("k", "linear", 100, 30, 20).intensity == 2
    assert KernelCost("k", "view", 0, 0, 0).intensity == 0
