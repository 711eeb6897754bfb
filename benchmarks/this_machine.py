"""The machine that a benchmark ran on, in words; its results name it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """Cores that this process may use, and the processor's name where the system tells it."""
    name, info = platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        found = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = found[0].partition(":")[2].strip() if found else name
    return f"{len(os.sched_getaffinity(0))} cores of {name}"
