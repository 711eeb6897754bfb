"""Runs the linters on a module and everything below it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.rtl_testbench.sources import RTL, generated_packages, module_files
from cosyn.rtl_testbench.toolchain import verilator_environment

WAIVERS = """`verilator_config
// A package serves every module; one module below it need not use all of it.
lint_off -rule UNUSEDPARAM -file "*_pkg.sv"
// A unit gets the whole instruction and every runtime register, and uses the fields of its class.
lint_off -rule UNUSEDSIGNAL -file "*" -match "Bits of signal are not used: '*inst_i'*"
lint_off -rule UNUSEDSIGNAL -file "*" -match "Bits of signal are not used: 'registers_i'*"
"""


def rtl_modules() -> tuple[str, ...]:
    """Every module of the accelerator."""
    return tuple(sorted(path.stem for path in RTL.glob("cosyn_*.sv")))


def _gather(top: str, config: AcceleratorConfig, folder: Path) -> list[str]:
    """The files that `top` needs, in reading order, the generated packages written to `folder`."""
    files = module_files(top)
    names = []
    for name, text in generated_packages(config, files).items():
        (folder / name).write_text(text, encoding="utf-8")
        names.append(str(folder / name))
    return names + [str(path) for path in files]


def verilator_warnings(top: str, config: AcceleratorConfig, folder: Path) -> str:
    """What Verilator says with -Wall; empty when it is content."""
    control = folder / "waivers.vlt"
    control.write_text(WAIVERS, encoding="utf-8")
    command = ["verilator", "--lint-only", "-Wall", "-Wno-fatal", "--top-module", top, str(control)]
    done = subprocess.run(
        [*command, *_gather(top, config, folder)],
        cwd=folder,
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip()


def icarus_errors(top: str, config: AcceleratorConfig, folder: Path) -> str:
    """What Icarus refuses; empty when it elaborates the module. Its notes on constant selects are harmless."""
    command = ["iverilog", "-g2012", "-t", "null", "-s", top]
    done = subprocess.run(
        [*command, *_gather(top, config, folder)], cwd=folder, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.splitlines() if "sorry: constant selects" not in line]
    return "\n".join(lines) if done.returncode else ""


def slang_diagnostics(top: str, config: AcceleratorConfig, folder: Path) -> str:
    """Errors and warnings of slang; empty when there are none."""
    return "\n".join(_slang(top, _gather(top, config, folder)))


def _slang(top: str, files: list[str]) -> Iterator[str]:
    import pyslang

    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    if not driver.parseCommandLine(" ".join(["slang", "--top", top, *files])) or not driver.processOptions():
        yield "slang did not accept its options"
        return
    if not driver.parseAllSources():
        yield "slang could not read the sources"
        return
    compilation = driver.createCompilation()
    engine = driver.diagEngine
    for diagnostic in compilation.getAllDiagnostics():
        quiet = (pyslang.DiagnosticSeverity.Ignored, pyslang.DiagnosticSeverity.Note)
        if engine.getSeverity(diagnostic.code, diagnostic.location) in quiet:
            continue
        place = driver.sourceManager.getFileName(diagnostic.location)
        line = driver.sourceManager.getLineNumber(diagnostic.location)
        yield f"{place}:{line}: {engine.formatMessage(diagnostic)}"
