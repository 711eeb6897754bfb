"""The description of a piece of hardware that a model is compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cosyn.targets.quantity import Quantity

HOST = "host"
"""The value of `arch` that means: whatever the machine that compiles has."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What the hardware can do at most; None or absent where it is not known and must be measured.

    `compute` gives the dense arithmetic peak per element type: `f64 f32 tf32 bf16 f16 fp8 i8 i4`.
    """

    compute: Mapping[str, Quantity] = field(default_factory=dict)
    memory_bandwidth: Quantity | None = None
    memory_capacity: Quantity | None = None
    power: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits that generated code must respect; None where the kind of hardware has no such limit.

    Threads count per block (CUDA) or work group (OpenCL); shared memory is what one of those may use, in
    bytes.
    """

    max_threads: int | None = None
    shared_memory_bytes: int | None = None
    warp_size: int | None = None
    max_registers: int | None = None
    max_allocation_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One piece of hardware, as data: what a pass or a schedule may ask about it.

    `kind` picks the backend (`codegen/tvm/<kind>.py`); `arch` is the backend's name for the instruction set
    (`host`: that of the machine that compiles); `features` are optional abilities that schedules ask for by
    name (on a CPU: flags as in /proc/cpuinfo); `path` is the file that it came from.
    """

    name: str
    kind: str
    device: str
    arch: str
    status: str
    aliases: tuple[str, ...] = ()
    peaks: Peaks = Peaks()
    limits: Limits = Limits()
    features: frozenset[str] = frozenset()
    limits_source: str = ""
    path: Path | None = field(default=None, compare=False)
