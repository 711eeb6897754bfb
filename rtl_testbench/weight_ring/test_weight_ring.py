"""The rings of tiny and odd (depths that are no power of two) and of the U280 (two stripes a word)."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.weight_ring.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd", "u280"])
def test_rings(preset: str) -> None:
    assert run_block("cosyn_weight_ring", BENCH, load_config(preset)) == 5


@needs_simulator("icarus")
def test_no_unknown_values() -> None:
    assert run_block("cosyn_weight_ring", BENCH, load_config("odd"), "icarus") == 5
