"""Every architecture through all passes: same logits, a legal graph, and an arena near the lower bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosyn.ir.frontend import import_model
from cosyn.ir.interpreter import run_graph
from cosyn.ir.parser import parse
from cosyn.ir.printer import print_graph
from cosyn.passes.fuse import fuse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.plan_memory import plan_memory
from cosyn.passes.recipe import load_recipe
from tests.architectures import CONFIGS, save_folder
from tests.passes.arena_simulation import Arena
from tests.passes.plan_checks import check_fusion, check_memory

TOKENS, MAX_SEQ = 7, 64
ALWAYS = ("llama", "gemma2", "gpt2", "falcon", "qwen2_moe", "stablelm_qk_norm")
"""Run in every test run; the others when slow tests are asked for."""


def marked(name: str) -> object:
    return name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [marked(n) for n in CONFIGS])
def test_passes_and_plans(name: str, tmp_path: Path) -> None:
    save_folder(name, tmp_path)
    model = import_model(tmp_path, max_seq=MAX_SEQ)
    assert model.weights is not None
    inputs = {"token_ids": np.arange(TOKENS) * 5, "positions": np.arange(TOKENS)}
    (expected,) = run_graph(model.graph, inputs, model.weights.load, dtype=np.float64)
    rows = np.array([TOKENS - 1, 2])
    inputs |= {"slots": np.zeros(TOKENS, int), "out_rows": rows}
    for recipe in ("fp32", "w4a16_g32", "w8a8_kv8"):
        graph, _ = run_passes(model.graph, passes(Options(load_recipe(recipe)), MAX_SEQ), verify=True)
        assert parse(print_graph(graph)) == graph
        plan = fuse(graph)
        memory = plan_memory(graph, plan)
        check_fusion(graph, plan)
        check_memory(graph, plan, memory)
        assert memory.ratio <= 1.05
        if recipe == "fp32":
            (found,) = run_graph(graph, inputs, model.weights.load, dtype=np.float64)
            np.testing.assert_allclose(found, expected[rows], rtol=0, atol=1e-12 * np.abs(expected).max())
            arena = Arena(graph, plan, memory, model.weights.load)
            (inside,) = arena.run(inputs, {"seq": TOKENS, "out": len(rows)})
            (single,) = run_graph(graph, inputs, model.weights.load)
            np.testing.assert_array_equal(inside, single)
