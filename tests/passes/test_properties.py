"""Random graphs keep their meaning through the pipeline, and run inside their arena."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import run_graph
from cosyn.ir.parser import parse
from cosyn.ir.printer import print_graph
from cosyn.ir.verifier import check
from cosyn.passes.fuse import fuse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.plan_memory import plan_memory
from cosyn.passes.recipe import load_recipe
from tests.passes.arena_simulation import Arena
from tests.passes.graphs import random_weights
from tests.passes.plan_checks import check_fusion, check_memory
from tests.passes.random_graphs import graphs

# The same examples every time: a test that fails on one machine fails on all.
SETTINGS = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
FP32 = passes(Options(load_recipe("fp32")), 64)


def step_inputs(tokens: int) -> dict[str, np.ndarray]:
    return {"token_ids": np.arange(tokens) * 5 % 16, "positions": np.arange(tokens)}


@SETTINGS
@given(graph=graphs(), tokens=st.sampled_from([1, 3, 7]))
def test_the_pipeline_keeps_the_meaning(graph: Graph, tokens: int) -> None:
    weights = random_weights(check(graph))
    inputs = step_inputs(tokens)
    (expected,) = run_graph(graph, inputs, weights.__getitem__, dtype=np.float64)
    after, _ = run_passes(graph, FP32, verify=True)
    assert parse(print_graph(after)) == after
    rows = np.arange(tokens)[::-1]
    given_inputs = inputs | {"out_rows": rows}
    if after.states:
        given_inputs["slots"] = np.zeros(tokens, int)
    (found,) = run_graph(after, given_inputs, weights.__getitem__, dtype=np.float64)
    np.testing.assert_allclose(found, expected[rows], rtol=1e-9, atol=1e-11)


@SETTINGS
@given(graph=graphs(), tokens=st.sampled_from([1, 5]), recipe=st.sampled_from(["fp32", "w8a8"]))
def test_groups_run_in_their_arena(graph: Graph, tokens: int, recipe: str) -> None:
    weights = random_weights(graph)
    after, _ = run_passes(graph, passes(Options(load_recipe(recipe)), 64))
    plan = fuse(after)
    check_fusion(after, plan)
    memory = plan_memory(after, plan, {"seq": 8, "out": 4})
    check_memory(after, plan, memory)
    inputs = step_inputs(tokens) | {"out_rows": np.array([tokens - 1, 0])}
    if after.states:
        inputs["slots"] = np.zeros(tokens, int)
    arena = Arena(after, plan, memory, weights.__getitem__)
    (found,) = arena.run(inputs, {"seq": tokens, "out": 2})
    (expected,) = run_graph(after, inputs, weights.__getitem__, stored=lambda _ref, _type, array: array)
    # Not bit for bit: numpy sums a transposed view in another order than a copy of it.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
