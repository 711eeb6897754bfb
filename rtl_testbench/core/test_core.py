"""The whole accelerator with one core and with two; a short watchdog, so that hangs are found quickly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
@pytest.mark.parametrize("bench", ["bench", "faults"])
def test_core(bench: str, preset: str) -> None:
    config = replace(load_config(preset), watchdog_cycles=1500)
    run_block("cosyn_accelerator", f"cosyn.rtl_testbench.core.{bench}", config, visible=("cosyn_core", "cosyn_tokens"))
