"""Both FIFOs at odd and even depths, in both simulators."""

from __future__ import annotations

from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in get_args(Simulator)]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(("module", "latency"), [("cosyn_fifo", 1), ("cosyn_fifo_ram", 2)])
@pytest.mark.parametrize(("width", "depth"), [(9, 2), (40, 5), (33, 16)])
def test_fifo(module: str, latency: int, width: int, depth: int, simulator: Simulator) -> None:
    environment = {"FIFO_WIDTH": str(width), "FIFO_DEPTH": str(depth), "FIFO_LATENCY": str(latency)}
    run_block(
        module, "cosyn.rtl_testbench.fifo.bench", load_config("tiny"), simulator,
        {"Width": width, "Depth": depth}, environment=environment,
    )  # fmt: skip
