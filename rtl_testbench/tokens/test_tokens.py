"""The token counters in both simulators."""

from __future__ import annotations

from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in get_args(Simulator)]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_tokens(simulator: Simulator) -> None:
    run_block("cosyn_tokens", "cosyn.rtl_testbench.tokens.bench", load_config("tiny"), simulator)
