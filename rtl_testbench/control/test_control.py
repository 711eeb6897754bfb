"""The control registers for one core and for two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.control.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_control(preset: str) -> None:
    run_block("cosyn_control", BENCH, replace(load_config(preset), watchdog_cycles=800))


@needs_simulator("icarus")
def test_control_with_unknown_values() -> None:
    tests = ["a_program", "errors", "partial_writes"]
    run_block("cosyn_control", BENCH, replace(load_config("tiny"), watchdog_cycles=800), "icarus", tests=tests)
