"""Each simulator builds and runs a small module, hands the configuration over, and reports a failure as one."""

from __future__ import annotations

from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.errors import BlockFailure, BuildError
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import run_block
from cosyn.rtl_testbench.toolchain import Simulator

BENCH = "cosyn.rtl_testbench.smoke.bench"
SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in get_args(Simulator)]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_runs(simulator: Simulator, preset: str) -> None:
    width = 5
    ran = run_block(
        "cosyn_smoke", BENCH, load_config(preset), simulator, {"Width": width}, environment={"SMOKE_WIDTH": str(width)}
    )
    assert ran == 2


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_reports_a_failure(simulator: Simulator) -> None:
    with pytest.raises(BlockFailure, match=r"(?s)cosyn_smoke \(tiny, \w+\): .*fails_on_purpose.*77"):
        run_block(
            "cosyn_smoke",
            BENCH,
            load_config("tiny"),
            simulator,
            tests=["fails_on_purpose"],
            environment={"SMOKE_FAILS": "1"},
        )


@needs_simulator("icarus")
def test_names_a_missing_module() -> None:
    with pytest.raises(BuildError, match=r"no file cosyn_nowhere\.sv"):
        run_block("cosyn_nowhere", BENCH, load_config("tiny"), "icarus")
