"""Steps that skip part of the cache: reference, cycle simulator and RTL agree in every bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.accelerator_model.cache_pattern import CachePattern
from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.random_model import LLAMA2_7B, place_model
from cosyn.rtl_testbench.full_size.levels import run_levels
from cosyn.rtl_testbench.full_size.step import RandomStep
from cosyn.rtl_testbench.marks import needs_simulator

SMALL = {
    **LLAMA2_7B, "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 96,
}  # fmt: skip
WINDOW = 40


@needs_simulator()
@pytest.mark.parametrize(
    ("config", "sinks", "position", "tokens"),
    [
        ("tiny", 0, 54, 1),  # the last that reads from position 0 on
        ("tiny", 0, 55, 1),  # the window has left the first unit of 16 positions
        ("tiny", 3, 71, 1),  # the first unit, which holds the sinks, then the third
        ("tiny", 3, 5, 1),  # fewer positions than the kept ones
        ("tiny", 3, 69, 4),  # the window leaves a unit among the step's tokens
        ("odd", 2, 150, 1),
        ("odd", 0, 150, 4),
    ],
)
def test_a_step_with_a_window(config: str, sinks: int, position: int, tokens: int, tmp_path: Path) -> None:
    model = place_model(SMALL, load_config(config), "w8a8", 160, seed=3, window=WINDOW, sinks=sinks)
    (pattern,) = model.layout.plan.patterns
    assert isinstance(pattern, CachePattern)
    assert pattern.kept == (pattern.unit if sinks else 0)
    step = RandomStep(model.layout, model.load, position, range(5, 5 + tokens), seed=3)
    found = run_levels(step, tmp_path, timeout=300)
    assert found.step.simulated_cycles == pytest.approx(found.step.rtl_cycles, rel=0.02)
