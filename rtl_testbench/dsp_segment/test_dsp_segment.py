"""Cascades of every length, in both simulators."""

from __future__ import annotations

from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in get_args(Simulator)]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
def test_segment(length: int, simulator: Simulator) -> None:
    environment = {"SEGMENT_LENGTH": str(length)}
    bench = "cosyn.rtl_testbench.dsp_segment.bench"
    config = load_config("tiny")
    assert run_block("cosyn_dsp_segment", bench, config, simulator, {"Length": length}, environment=environment) == 3
