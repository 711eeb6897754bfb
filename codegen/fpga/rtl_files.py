"""The RTL of an artifact: the sources as they ship, the packages that this configuration generates, build files."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.control import render_control_package, render_control_table
from cosyn.accelerator_model.isa.systemverilog import render_package
from cosyn.accelerator_model.numerics.systemverilog import render_tables
from cosyn.codegen.fpga.vendor_project import (
    WRAPPER,
    render_build_script,
    render_connectivity,
    render_constraints,
    render_package_script,
    render_wrapper,
)
from cosyn.targets.fpga_device import load_fpga_device


def rtl_folder() -> Path | None:
    """Where the RTL sources are installed."""
    found = find_spec("cosyn.rtl_testbench")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        if (Path(place) / "rtl").is_dir():
            return Path(place) / "rtl"
    return None


def write_rtl(folder: Path, config: AcceleratorConfig, window_bytes: int) -> list[str]:
    """Write rtl/ with its file list, constraints and project scripts; the names in the order of compilation.

    `window_bytes` of the platform's memory are those of one channel.
    """
    target = folder / "rtl"
    target.mkdir()
    packages = {
        "cosyn_pkg.sv": render_package(config),
        "cosyn_tables_pkg.sv": render_tables(),
        "cosyn_control_pkg.sv": render_control_package(config),
    }
    for name, text in packages.items():
        (target / name).write_text(text, encoding="utf-8")
    sources = rtl_folder()
    modules = sorted(sources.glob("cosyn_*.sv")) if sources is not None else []
    for path in modules:
        shutil.copyfile(path, target / path.name)
    (target / f"{WRAPPER}.sv").write_text(render_wrapper(config, window_bytes), encoding="utf-8")
    names = [*packages, *(path.name for path in modules), f"{WRAPPER}.sv"]
    (target / "files.f").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    device = load_fpga_device(config.device)
    files = {
        "cosyn.xdc": render_constraints(config),
        "build.tcl": render_build_script(config, device.part, names),
        "package.tcl": render_package_script(config, device.part, names),
        "connectivity.cfg": render_connectivity(config, "HBM" if device.memory_kind.startswith("HBM") else "DDR"),
    }
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    (folder / "registers.md").write_text(render_control_table(config), encoding="utf-8")
    return names
