"""Yosys takes the RTL, and finds the cells that a block is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.errors import ToolError
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.synthesis.yosys import Counts, synthesise

# One at a time: Yosys prepares itself in a shared cache when it first runs.
pytestmark = [needs_simulator("yosys"), pytest.mark.xdist_group("yosys")]


def test_a_chain_has_one_dsp_per_pair_of_products(tmp_path: Path) -> None:
    config = load_config("tiny")
    report = synthesise(config, tmp_path, "cosyn_dsp_chain")
    assert report.total.dsp == config.chain_length
    assert report.instances["cosyn_dsp48_pair"] == config.chain_length
    # Every register of the multiplier's operands and sums is inside the DSP.
    assert report.modules["cosyn_dsp48_pair"] == Counts(config.chain_length, 0, 0, 0.0, 0, 0, 0, 0)


def test_totals_are_the_sum_of_the_modules(tmp_path: Path) -> None:
    report = synthesise(load_config("tiny"), tmp_path, "cosyn_load")
    assert report.total.lut == sum(part.lut for part in report.modules.values())
    assert report.total.bram == sum(part.bram for part in report.modules.values()) > 0


def test_refused_source_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cosyn_bad.sv").write_text("module cosyn_bad (output logic a_o);\n  assign a_o = nothing;\nendmodule\n")
    monkeypatch.setattr("cosyn.rtl_testbench.sources.RTL", tmp_path)
    with pytest.raises(ToolError, match="Yosys failed on cosyn_bad for tiny"):
        synthesise(load_config("tiny"), tmp_path, "cosyn_bad")


@pytest.mark.slow
def test_the_whole_accelerator(tmp_path: Path) -> None:
    """The matrix engine's DSPs are those that the configuration says."""
    config = load_config("tiny")
    report = synthesise(config, tmp_path)
    assert report.instances["cosyn_dsp48_pair"] == config.cores * config.dsps_per_core
    assert report.total.dsp >= config.cores * config.dsps_per_core
