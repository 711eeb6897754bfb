"""The store unit in both simulators, for one channel and for three in lockstep."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.store.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_store(preset: str) -> None:
    run_block("cosyn_store", BENCH, load_config(preset))


@needs_simulator("icarus")
def test_store_with_unknown_values() -> None:
    tests = ["lines", "keys", "values", "scales", "random_everything", "back_to_back", "a_write_error"]
    run_block("cosyn_store", BENCH, load_config("tiny"), "icarus", tests=tests)
