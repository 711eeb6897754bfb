"""What runs an artifact: this machine, or for an accelerator's artifact one of several engines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosyn.errors import CommandError

if TYPE_CHECKING:
    from cosyn.runtime import LanguageModel
    from cosyn.runtime.executor import Executor
    from cosyn.runtime.loader import Artifact


def load_model(
    folder: Path, engine: str | None, threads: int | None = None, huge_pages: bool | None = None
) -> LanguageModel:
    """The artifact in `folder`, loaded; CommandError for an engine that does not exist or does not apply."""
    from cosyn.runtime import load

    if engine is not None and engine not in ENGINES:
        raise CommandError(f"unknown engine {engine!r}; engines: {', '.join(ENGINES)}", "give one of them")
    if not is_accelerator_artifact(folder):
        if engine is not None:
            raise CommandError("--engine is for an accelerator's artifact", f"{folder} runs on this machine as it is")
        return load(folder, threads=threads, huge_pages=huge_pages)
    return load(folder, connect=ENGINES[engine or "sim"])


def is_accelerator_artifact(folder: Path) -> bool:
    """Whether the artifact is for an accelerator; False for what is no artifact."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and dict(manifest.get("target") or {}).get("kind") == "fpga"


def _simulator(artifact: Artifact, *, timing: bool) -> Executor:
    from cosyn.accelerator_engine import SimulatorTransport, artifact_config
    from cosyn.runtime.fpga.description import read_description
    from cosyn.runtime.fpga.driver import FpgaExecutor

    stripes = read_description(artifact.folder).memory_stripes
    transport = SimulatorTransport(artifact_config(artifact.folder), stripes, timing=timing)
    return FpgaExecutor(artifact.folder, artifact.manifest, transport)


def _rtl(artifact: Artifact, simulator: Any) -> Executor:
    from cosyn.accelerator_engine import artifact_config
    from cosyn.rtl_testbench.session import RtlSession
    from cosyn.runtime.fpga.description import read_description
    from cosyn.runtime.fpga.driver import FpgaExecutor

    config = artifact_config(artifact.folder)
    size = max(read_description(artifact.folder).memory_stripes) * config.stripe_bytes
    transport = RtlSession(config, simulator, data_bytes=size, folders=[artifact.folder / "rtl"])
    return FpgaExecutor(artifact.folder, artifact.manifest, transport, timeout=3600.0)


def _reference(artifact: Artifact) -> Executor:
    from cosyn.reference_executor import ReferenceExecutor

    return ReferenceExecutor(artifact)


ENGINES: Mapping[str, Callable[[Artifact], Executor]] = {
    "sim": lambda artifact: _simulator(artifact, timing=False),
    "cycles": lambda artifact: _simulator(artifact, timing=True),
    "reference": _reference,
    "rtl": lambda artifact: _rtl(artifact, "verilator"),
    "icarus": lambda artifact: _rtl(artifact, "icarus"),
}
"""Name → what connects to it: the functional simulator, the cycle simulator, the reference, the RTL."""


def accelerator_cycles(model: LanguageModel) -> dict[str, object]:
    """What the accelerator took for the model's steps so far; empty for what runs elsewhere or counts no cycles.

    `cycles`; `cycles_per_step`, of each as [tokens, cycles]; of an RTL simulation also `simulation_cpu_seconds`.
    """
    steps: list[tuple[int, int]] = getattr(model.executor, "cycles", [])
    cycles = sum(count for _, count in steps)
    if not cycles:
        return {}
    found: dict[str, object] = {"cycles": cycles, "cycles_per_step": [list(step) for step in steps]}
    seconds: Callable[[], float] | None = getattr(getattr(model.executor, "transport", None), "cpu_seconds", None)
    return found if seconds is None else found | {"simulation_cpu_seconds": round(seconds(), 2)}
