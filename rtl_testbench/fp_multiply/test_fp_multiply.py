"""The float32 multiplier, with and without its enable, in both simulators."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in ("verilator", "icarus")]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("top", ["cosyn_fp_multiply", "cosyn_fp_multiply_gated"])
def test_multiplies(top: str, simulator: Simulator) -> None:
    assert run_block(top, "cosyn.rtl_testbench.fp_multiply.bench", load_config("tiny"), simulator) == 3
