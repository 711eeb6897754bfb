"""The RTL is clean in Verilator -Wall and slang for every shipped configuration, and Icarus elaborates it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.accelerator_model.presets import load_config, preset_names
from cosyn.rtl_testbench.lint.checks import (
    icarus_errors,
    rtl_modules,
    slang_diagnostics,
    verilator_warnings,
)
from cosyn.rtl_testbench.marks import needs_simulator

TOP = "cosyn_accelerator"


@needs_simulator("verilator")
@pytest.mark.parametrize("preset", preset_names())
def test_verilator_has_no_warning(preset: str, tmp_path: Path) -> None:
    assert verilator_warnings(TOP, load_config(preset), tmp_path) == ""


@needs_simulator("verilator")
@pytest.mark.parametrize("module", rtl_modules())
def test_each_module_alone(module: str, tmp_path: Path) -> None:
    """A module that the top does not use yet, or uses with other parameters, is clean with its defaults."""
    assert verilator_warnings(module, load_config("tiny"), tmp_path) == ""


@needs_simulator("pyslang")
@pytest.mark.parametrize("preset", preset_names())
def test_slang_has_no_diagnostic(preset: str, tmp_path: Path) -> None:
    assert slang_diagnostics(TOP, load_config(preset), tmp_path) == ""


@needs_simulator("icarus")
@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_icarus_elaborates(preset: str, tmp_path: Path) -> None:
    assert icarus_errors(TOP, load_config(preset), tmp_path) == ""


@needs_simulator("verilator")
def test_a_warning_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "module cosyn_bad (input logic [3:0] a_i, output logic b_o);\n  assign b_o = a_i;\nendmodule\n"
    (tmp_path / "cosyn_bad.sv").write_text(bad)
    monkeypatch.setattr("cosyn.rtl_testbench.sources.RTL", tmp_path)
    assert "WIDTHTRUNC" in verilator_warnings("cosyn_bad", load_config("tiny"), tmp_path)
