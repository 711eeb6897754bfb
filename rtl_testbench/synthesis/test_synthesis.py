"""Yosys takes the RTL, and finds the cells that the resource model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.resources import resources
from cosyn.rtl_testbench.errors import ToolError
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.synthesis.counts import Counts
from cosyn.rtl_testbench.synthesis.yosys import synthesise

# One at a time: Yosys prepares itself in a shared cache when it first runs, and takes a processor and 500 MB.
pytestmark = [needs_simulator("yosys"), pytest.mark.xdist_group("yosys")]


def test_a_chain_has_one_dsp_per_pair_of_products() -> None:
    config = load_config("tiny")
    report = synthesise(config, "cosyn_dsp_chain")
    assert report.total.dsp == config.chain_length
    # Every register of the multiplier's operands and sums is inside the DSP.
    assert report.modules()["cosyn_dsp48_pair"] == (config.chain_length, Counts(dsp=config.chain_length))


def test_refused_source_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cosyn_bad.sv").write_text("module cosyn_bad (output logic a_o);\n  assign a_o = nothing;\nendmodule\n")
    monkeypatch.setattr("cosyn.rtl_testbench.sources.RTL", tmp_path)
    with pytest.raises(ToolError, match="Yosys failed on cosyn_bad for tiny"):
        synthesise(load_config("tiny"), "cosyn_bad")


def test_the_whole_accelerator_is_what_the_model_says() -> None:
    config = load_config("tiny")
    counted, modelled = synthesise(config).total, resources(config).total
    assert (counted.dsp, counted.bram36, counted.uram) == (modelled.dsp, modelled.bram36, modelled.uram)
    assert counted.lut == pytest.approx(modelled.lut, rel=0.1)
    assert counted.ff == pytest.approx(modelled.ff, rel=0.1)
