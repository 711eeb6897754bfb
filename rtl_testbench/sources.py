"""Which files a simulation or synthesis needs: the generated packages and the modules below a top."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.control import render_control_package
from cosyn.accelerator_model.isa.systemverilog import render_package
from cosyn.accelerator_model.numerics.systemverilog import render_tables
from cosyn.rtl_testbench.errors import BuildError

RTL = Path(__file__).parent / "rtl"
TESTBENCH = Path(__file__).parent / "tb"

_NAME = re.compile(r"\bcosyn_\w+")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def generated_packages(config: AcceleratorConfig, files: Iterable[Path]) -> dict[str, str]:
    """File name → text of the generated packages that `files` use, in the order in which tools must read them."""
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    packages = {"cosyn_pkg.sv": render_package(config)}
    if "cosyn_control_pkg" in text:
        packages["cosyn_control_pkg.sv"] = render_control_package(config)
    if "cosyn_tables_pkg" in text:
        packages["cosyn_tables_pkg.sv"] = render_tables()
    return packages


def module_files(top: str, folders: Iterable[Path] = ()) -> tuple[Path, ...]:
    """The file of `top` and of every module that it mentions, directly or not; the top last.

    Modules live in files of their own name, in one of `folders` (a block's own wrappers), rtl/ or tb/.
    """
    places = (*folders, RTL, TESTBENCH)
    files: dict[str, Path] = {}
    stack = [top]
    while stack:
        name = stack.pop()
        # Packages are generated anew; an artifact's rtl/ holds copies of them.
        if name in files or name.endswith("_pkg"):
            continue
        path = next((place / f"{name}.sv" for place in places if (place / f"{name}.sv").exists()), None)
        if path is None:
            if name == top:
                raise BuildError(f"no file {top}.sv in {', '.join(map(str, places))}")
            continue  # a signal, a package, or a name inside another file
        files[name] = path
        stack += sorted(set(_NAME.findall(_COMMENT.sub("", path.read_text(encoding="utf-8")))) - files.keys())
    return (*sorted(path for name, path in files.items() if name != top), files[top])
