"""The matrix engine in every preset's geometry, with both forms of its chains, and in both simulators."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.matrix_engine.bench"
TESTS = 18


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_instructions(preset: str) -> None:
    assert run_block("cosyn_matrix_engine", BENCH, load_config(preset)) == TESTS


@needs_simulator("verilator")
def test_large_array() -> None:
    """Two stripes a word, four segments of lanes: the U280's core."""
    environment = {"BENCH_CASES": "12"}
    assert run_block("cosyn_matrix_engine", BENCH, load_config("u280"), environment=environment) == TESTS


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_structural_form(preset: str) -> None:
    """With the DSP cascades, multiplexers and shift-and-add scales that synthesis sees."""
    parameters = {"Structural": 1}
    environment = {"BENCH_CASES": "20"}
    ran = run_block("cosyn_matrix_engine", BENCH, load_config(preset), "verilator", parameters, environment=environment)
    assert ran == TESTS


@needs_simulator("icarus")
@pytest.mark.parametrize("structural", [0, 1])
def test_no_unknown_values(structural: int) -> None:
    ran = run_block("cosyn_matrix_engine", BENCH, load_config("tiny"), "icarus", {"Structural": structural})
    assert ran == TESTS
