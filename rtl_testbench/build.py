"""Builds simulations and keeps them: one folder per content of sources, packages, parameters and tools."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.rtl_testbench.errors import BuildError
from cosyn.rtl_testbench.sources import TESTBENCH, generated_packages, module_files
from cosyn.rtl_testbench.toolchain import (
    Simulator,
    find_cocotb,
    find_icarus,
    find_verilator,
    machine_signature,
    verilator_environment,
)

TIMESCALE = "1ns/1ps"

MEMORY_CPP = TESTBENCH / "cosyn_memory.cpp"
"""The DPI functions of the memory channels."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is built: a top module, the configuration of its package, and how."""

    top: str
    config: AcceleratorConfig
    simulator: Simulator = "verilator"
    parameters: Mapping[str, int] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    """Where modules are sought before rtl/."""
    visible: tuple[str, ...] = ()
    """Modules whose signals Python may see besides the top's; each costs speed (Verilator)."""
    shown: tuple[str, ...] = ()
    """If given, only these signals of the top are visible (Verilator)."""
    timing: bool = False
    """The HDL makes its own clock (Verilator's --timing)."""
    waves: bool = False
    defines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    """A simulation that is ready to start."""

    design: Design
    folder: Path

    def command(self) -> list[str]:
        """Starts the simulation; the current folder of the process receives wave files."""
        if self.design.simulator == "icarus":
            library = _cocotb_config("lib_entry", "vpi", "icarus")
            return ["vvp", "-m", library, str(self.folder / "sim.vvp"), "-fst" if self.design.waves else "-none"]
        traced = ["--trace", "--trace-file", "waves.fst"] if self.design.waves else []
        return [str(self.folder / "simulation"), *traced]

    def environment(self, test_module: str) -> dict[str, str]:
        """Makes the simulation run the cocotb tests of `test_module`."""
        import find_libpython

        libpython = find_libpython.find_libpython()
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        libraries = _cocotb_config("libs_dir")
        env.update(
            PATH=f"{env.get('PATH', '')}{os.pathsep}{libraries}",
            PYTHONPATH=os.pathsep.join(sys.path),
            PYGPI_PYTHON_BIN=sys.executable,
            GPI_USERS=f"{libpython};{_cocotb_config('pygpi_entry_point')}",
            COCOTB_TOPLEVEL=self.design.top,
            COCOTB_TEST_MODULES=test_module,
            # Icarus would apply a write made at a clock edge before the flip-flops of that edge have sampled.
            COCOTB_TRUST_INERTIAL_WRITES=str(int(self.design.simulator == "verilator")),
            TOPLEVEL_LANG="verilog",
        )
        return env


def _cocotb_config(name: str, *arguments: str) -> str:
    from cocotb_tools import config

    value = getattr(config, name)
    return str(value(*arguments) if callable(value) else value)


def cache_folder() -> Path:
    """Where built simulations are kept: $COSYN_RTL_CACHE, or cosyn/rtl in the user's cache folder."""
    if own := os.environ.get("COSYN_RTL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosyn" / "rtl"


def build(design: Design) -> Built:
    """Build `design`, or find it built; BuildError holds the tool's first error."""
    files = module_files(design.top, design.folders)
    packages = generated_packages(design.config, files)
    folder = cache_folder() / f"{design.top}-{design.config.name}-{design.simulator}-{_key(design, files, packages)}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        done = folder / "built"
        if not done.exists():
            sources = []
            for name, text in packages.items():
                (folder / name).write_text(text, encoding="utf-8")
                sources.append(folder / name)
            make = _build_icarus if design.simulator == "icarus" else _build_verilator
            make(design, folder, [*sources, *files])
            done.touch()
    return Built(design, folder)


def _key(design: Design, files: Sequence[Path], packages: Mapping[str, str]) -> str:
    tool = find_icarus() if design.simulator == "icarus" else f"{find_verilator()} {machine_signature()}"
    parts: list[str] = [tool, find_cocotb(), _builder_text(), json.dumps(dict(design.parameters), sort_keys=True)]
    parts += [repr(design.visible), repr(design.shown), repr((design.timing, design.waves, design.defines))]
    parts += packages.values()
    parts += [f"{path.name}\n{path.read_text(encoding='utf-8')}" for path in (*files, MEMORY_CPP)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@functools.cache
def _builder_text() -> str:
    """This file is part of the key: a change of flags rebuilds."""
    return Path(__file__).read_text(encoding="utf-8")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build_icarus(design: Design, folder: Path, sources: list[Path]) -> None:
    (folder / "timescale.f").write_text(f"+timescale+{TIMESCALE}\n")
    extra: list[str] = []
    if design.waves:
        dump = folder / "dump.sv"
        dump.write_text(
            f'module dump; initial begin $dumpfile("waves.fst"); $dumpvars(0, {design.top}); end endmodule\n'
        )
        extra = ["-s", "dump", str(dump)]
    parameters = [f"-P{design.top}.{name}={value}" for name, value in design.parameters.items()]
    command = ["iverilog", "-g2012", "-o", str(folder / "sim.vvp"), "-f", str(folder / "timescale.f"), "-s", design.top]
    defines = [f"-D{name}" for name in design.defines]
    _call([*command, *parameters, *defines, *extra, *map(str, sources)], folder, dict(os.environ))


def _build_verilator(design: Design, folder: Path, sources: list[Path]) -> None:
    """cocotb's runner makes every signal of the design public, which costs a factor of three: only the top is, here."""
    control = folder / "visible.vlt"
    control.write_text(_visible_signals(design))
    libraries = _cocotb_config("libs_dir")
    main = Path(_cocotb_config("share_dir")) / "lib" / "verilator" / "verilator.cpp"
    link = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator -rdynamic"
    command = ["verilator", "-cc", "--exe", "-Mdir", str(folder), "--top-module", design.top, "--vpi"]
    command += ["--prefix", "Vtop", "-o", "simulation", "-LDFLAGS", link, "--timescale", TIMESCALE]
    # Lint has a test of its own; a warning here would only stop a block test.
    command += ["-Wno-fatal", "-Wno-WIDTH", "-Wno-UNUSED", "--assert", "-DCOSYN_DPI"]
    command += ["--timing"] if design.timing else []
    command += ["--trace-fst", "--trace-structs"] if design.waves else []
    command += [f"-G{name}={value}" for name, value in design.parameters.items()]
    uses_memory = any("cosyn_memory_read" in path.read_text(encoding="utf-8") for path in sources)
    memory = [str(MEMORY_CPP)] if uses_memory else []
    command += [*(f"-D{name}" for name in design.defines), str(main), *memory, str(control), *map(str, sources)]
    environment = verilator_environment()
    _call(command, folder, environment)
    _call(["make", "-j", str(os.cpu_count() or 1), "-C", str(folder), "-f", "Vtop.mk"], folder, environment)
    for leftover in folder.glob("*.o"):
        leftover.unlink()


def _visible_signals(design: Design) -> str:
    rules = [f'public_flat_rw -module "{design.top}" -var "{name}"' for name in design.shown or ("*",)]
    rules += [f'public_flat_rw -module "{module}" -var "*"' for module in design.visible]
    return "`verilator_config\n" + "\n".join(rules) + "\n"


def _call(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run one build step, its output in build.log; BuildError names command, first error and log."""
    log = folder / "build.log"
    with log.open("a", encoding="utf-8") as handle:
        handle.write(" ".join(command) + "\n")
        handle.flush()
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=handle, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        errors = [line for line in text.splitlines() if "rror" in line and "Command" not in line]
        kept = folder.with_name(f"{folder.name}.failed.log")
        shutil.move(log, kept)
        raise BuildError(
            f"{Path(command[0]).name} failed ({done.returncode}):\n  " + "\n  ".join(errors[:8]) + f"\n  log: {kept}"
        )
