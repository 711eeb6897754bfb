"""The dequantizer in two geometries, and in both simulators."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.dequantizer.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_steps(preset: str) -> None:
    assert run_block("cosyn_dequantizer", BENCH, load_config(preset)) == 5


@needs_simulator("icarus")
def test_no_unknown_values() -> None:
    assert run_block("cosyn_dequantizer", BENCH, load_config("tiny"), "icarus") == 5
