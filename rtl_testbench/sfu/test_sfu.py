"""The special-function unit in every preset's geometry, and in both simulators."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.sfu.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd", "u280"])
def test_passes(preset: str) -> None:
    assert run_block("cosyn_sfu_bench", BENCH, load_config(preset)) == 30


@needs_simulator("icarus")
def test_no_unknown_values() -> None:
    assert run_block("cosyn_sfu_bench", BENCH, load_config("tiny"), "icarus") == 30
