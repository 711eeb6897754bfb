"""Instruction fetch in both simulators."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.fetch.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny"])
def test_fetch(preset: str) -> None:
    run_block("cosyn_fetch", BENCH, load_config(preset))


@needs_simulator("icarus")
def test_fetch_with_unknown_values() -> None:
    run_block(
        "cosyn_fetch", BENCH, load_config("tiny"), "icarus", tests=["only_done", "random_full_queues", "bad_codes"]
    )
