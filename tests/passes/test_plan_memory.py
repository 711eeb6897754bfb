"""The memory plan: lifetimes, sharing, offsets, and execution inside the arena."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import run_graph
from cosyn.ir.parser import parse
from cosyn.passes.arena import place
from cosyn.passes.arena_requests import Request, peak
from cosyn.passes.fuse import fuse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.plan_memory import MemoryPlan, plan_memory
from cosyn.passes.recipe import load_recipe
from tests.passes.arena_simulation import Arena
from tests.passes.graphs import llama, llama_inputs, random_weights
from tests.passes.plan_checks import check_memory

BOUNDS = {"seq": 64, "out": 8}


def planned(graph: Graph) -> MemoryPlan:
    plan = fuse(graph)
    memory = plan_memory(graph, plan, BOUNDS)
    check_memory(graph, plan, memory)
    return memory


def lowered(recipe: str) -> Graph:
    return run_passes(llama(), passes(Options(load_recipe(recipe)), 64))[0]


def test_inputs_outputs_weights_and_states_are_the_callers() -> None:
    graph = lowered("fp32")
    memory = planned(graph)
    homes = set(memory.buffers) | set(memory.aliases)
    assert not homes & {*graph.outputs, "%token_ids", "%kv0.written"}
    assert all(r.startswith("%") for r in homes)
    with pytest.raises(KeyError):
        memory.offset("%logits")


def test_views_share_memory() -> None:
    memory = planned(lowered("fp32"))
    assert memory.aliases == {"%ar": "%a"}
    assert memory.offset("%ar") == memory.offset("%a")


CHAIN = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 8]
weight @w : f32[8, 8] from "w"
%a = linear(%x, @w) : f32[seq, 8]
%b = linear(%x, @w) : f32[seq, 8]
{middle}
%l = linear(%m, @w) : f32[seq, 8]
return %l
"""


@pytest.mark.parametrize(
    ("middle", "shared"),
    [
        ("%m = minimum(%a, %a) : f32[seq, 8]\n%k = matmul(%b, @w) : f32[seq, 8]", True),
        ("%m = add(%a, %b) : f32[seq, 8]", False),  # an epilogue, not a group of its own
        ("%i = slice(%a) {{axis=1, start=0, stop=8, step=2}} : f32[seq, 4]\n"
         "%m = concat(%i, %i) {{axis=1}} : f32[seq, 8]", False),  # reads elsewhere than it writes
    ],
)  # fmt: skip
def test_an_operand_that_dies_gives_its_place(middle: str, shared: bool) -> None:
    text = CHAIN.format(middle=middle.format())
    if shared:
        # Two readers keep the linear from taking the sum as its epilogue.
        text = text.replace("%m = minimum(%a, %a)", "%n = neg(%a) : f32[seq, 8]\n%m = mul(%n, %a)")
    memory = planned(parse(text))
    assert (memory.aliases.get("%m") == "%a") == shared


def test_an_operand_that_lives_on_keeps_its_place() -> None:
    text = CHAIN.format(middle="%n = neg(%a) : f32[seq, 8]\n%m = mul(%n, %a) : f32[seq, 8]")
    later = "%z = matmul(%a, @w) : f32[seq, 8]\n%r = add(%l, %z) : f32[seq, 8]\nreturn %r"
    graph = parse(text.replace("linear(%m, @w)", "matmul(%m, @w)").replace("return %l", later))
    assert "%m" not in planned(graph).aliases


@pytest.mark.parametrize("recipe", ["fp32", "w4a16_g32", "w8a8_kv8"])
def test_the_arena_is_as_small_as_can_be(recipe: str) -> None:
    assert planned(lowered(recipe)).ratio <= 1.05


@pytest.mark.parametrize(("tokens", "rows"), [(64, [3, 0]), (1, [0]), (7, [6, 2, 2])])
def test_execution_inside_the_arena_gives_the_same_numbers(tokens: int, rows: list[int]) -> None:
    graph = lowered("fp32")
    weights = random_weights(graph)
    plan = fuse(graph)
    arena = Arena(graph, plan, plan_memory(graph, plan, BOUNDS), weights.__getitem__)
    inputs = llama_inputs(tokens, rows)
    (found,) = arena.run(inputs, {"seq": tokens, "out": len(rows)})
    (expected,) = run_graph(graph, inputs, weights.__getitem__)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(20))
def test_placement_of_random_lifetimes(seed: int) -> None:
    rng = random.Random(seed)
    requests = []
    for i in range(rng.randrange(1, 60)):
        first = rng.randrange(40)
        requests.append(Request(f"b{i}", 64 * rng.randrange(1, 30), first, first + rng.randrange(8)))
    offsets, total = place(requests)
    assert peak(requests) <= total <= 1.05 * peak(requests)
    for i, a in enumerate(requests):
        assert offsets[a.name] + a.nbytes <= total
        for b in requests[:i]:
            if a.first <= b.last and b.first <= a.last:
                low, high = sorted([(offsets[a.name], a.nbytes), (offsets[b.name], b.nbytes)])
                assert low[0] + low[1] <= high[0]


def test_layers_that_no_greedy_order_packs_are_searched() -> None:
    # A parallel block as in Falcon: the wide value of one layer must leave room for the next residual.
    requests = []
    for i in range(40):
        t = 10 * i
        for name, size, first, last in (
            ("residual", 5, 0, 10),
            ("wide", 25, 2, 9),
            ("inner", 20, 9, 10),
            ("out", 5, 8, 10),
        ):
            requests.append(Request(f"{name}{i}", 64 * size, t + first, t + last))
    offsets, total = place(requests)
    assert total == peak(requests) == 64 * 55
    assert set(offsets) == {r.name for r in requests}


def test_nothing_to_place() -> None:
    assert place([]) == ({}, 0)
    assert (
        planned(parse('graph "g"\ndim seq in 1..4\ninput %x : f32[seq]\n%y = neg(%x) : f32[seq]\nreturn %y')).ratio == 1
    )
