"""The load unit in both simulators, for one channel and for three in lockstep."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.load.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_load(preset: str) -> None:
    run_block("cosyn_load", BENCH, load_config(preset))


@needs_simulator("icarus")
def test_load_with_unknown_values() -> None:
    tests = ["each_target", "rows_strides_and_registers", "a_checked_stream", "random_everything", "wrong_checksum"]
    run_block("cosyn_load", BENCH, load_config("tiny"), "icarus", tests=tests)
