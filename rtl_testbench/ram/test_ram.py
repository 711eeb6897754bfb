"""The memory template as block and as UltraRAM, with and without partial writes, in both simulators."""

from __future__ import annotations

from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in get_args(Simulator)]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(("width", "depth", "part", "ultra"), [(40, 9, 40, 0), (64, 16, 8, 0), (72, 20, 36, 1)])
def test_ram(width: int, depth: int, part: int, ultra: int, simulator: Simulator) -> None:
    environment = {"RAM_WIDTH": str(width), "RAM_DEPTH": str(depth), "RAM_PART": str(part)}
    parameters = {"Width": width, "Depth": depth, "WriteBits": part, "Ultra": ultra}
    ran = run_block(
        "cosyn_ram_1r1w", "cosyn.rtl_testbench.ram.bench", load_config("tiny"), simulator, parameters,
        environment=environment,
    )  # fmt: skip
    assert ran == 1
