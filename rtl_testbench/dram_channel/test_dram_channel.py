"""cosyn_dram_channel in both simulators, against the model and the shipped timings."""

from __future__ import annotations

from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator


@pytest.mark.parametrize("simulator", [pytest.param(name, marks=needs_simulator(name)) for name in get_args(Simulator)])
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_dram_channel(preset: str, simulator: Simulator) -> None:
    config = load_config(preset)
    timing = config.memory
    parameters = {
        "DataBytes": config.channel_bytes,
        "RowBytes": timing.row_bytes,
        "RowMissCycles": timing.row_miss_cycles,
        "TurnaroundCycles": timing.turnaround_cycles,
        "RefreshIntervalCycles": timing.refresh_interval_cycles,
        "RefreshCycles": timing.refresh_cycles,
        "ReadLatencyCycles": timing.read_latency_cycles,
        "WriteLatencyCycles": timing.write_latency_cycles,
        "StoreBeats": 2048,
    }
    run_block("cosyn_dram_channel", "cosyn.rtl_testbench.dram_channel.bench", config, simulator, parameters)
