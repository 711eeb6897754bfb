"""Every special function in both simulators."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in ("verilator", "icarus")]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_converts(simulator: Simulator) -> None:
    bench = "cosyn.rtl_testbench.fp_special.bench"
    assert run_block("cosyn_fp_special", bench, load_config("tiny"), simulator) == 21
