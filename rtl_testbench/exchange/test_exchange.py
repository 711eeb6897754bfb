"""The exchange between one, two and four cores."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block

BENCH = "cosyn.rtl_testbench.exchange.bench"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd", "u280"])
def test_exchange(preset: str) -> None:
    run_block("cosyn_exchange", BENCH, load_config(preset))


@needs_simulator("icarus")
def test_exchange_with_unknown_values() -> None:
    run_block("cosyn_exchange", BENCH, load_config("odd"), "icarus", tests=["slices", "random_meetings"])
