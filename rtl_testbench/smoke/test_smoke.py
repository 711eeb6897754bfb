"""Each simulator builds and runs a small module, hands the configuration over, and reports a failure as one."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.errors import BlockFailure, BuildError
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.runner import DEFAULT_SEED, SEED_VARIABLE, run_block
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


def _fails(simulator: Simulator) -> str:
    """The message of a failing test."""
    with pytest.raises(BlockFailure) as caught:
        run_block(
            "cosyn_smoke",
            BENCH,
            load_config("tiny"),
            simulator,
            tests=["fails_on_purpose"],
            environment={"SMOKE_FAILS": "1"},
        )
    return str(caught.value)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_reports_a_failure(simulator: Simulator) -> None:
    assert re.search(r"(?s)cosyn_smoke \(tiny, \w+\): .*fails_on_purpose.*77", _fails(simulator))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_seed(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Always the same, but for the environment; the benches get it, and a failure says how to repeat it."""
    for given, seed in ((None, DEFAULT_SEED), ("", DEFAULT_SEED), ("1795264070", 1795264070)):
        if given is None:
            monkeypatch.delenv(SEED_VARIABLE, raising=False)
        else:
            monkeypatch.setenv(SEED_VARIABLE, given)
        message = _fails(simulator)
        assert f"with seed {seed}\n" in message
        assert f"repeat with COCOTB_RANDOM_SEED={seed}\n" in message


@needs_simulator("icarus")
def test_names_a_missing_module() -> None:
    with pytest.raises(BuildError, match=r"no file cosyn_nowhere\.sv"):
        run_block("cosyn_nowhere", BENCH, load_config("tiny"), "icarus")
