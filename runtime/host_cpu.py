"""What this machine's CPU offers: feature flags, usable cores, physical cores."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cosyn.runtime.errors import HostError

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MACHINES = {"arm64": "aarch64", "AMD64": "x86_64"}
"""What other systems call the instruction sets that Linux and LLVM name alike."""
_AT_HWCAP, _AT_HWCAP2 = 16, 26
# Bits of the kernel's hwcaps of aarch64 (uapi/asm/hwcap.h), under their names in /proc/cpuinfo.
_ARM_HWCAP = {"fp": 0, "asimd": 1, "fphp": 9, "asimdhp": 10, "asimddp": 20, "sve": 22}
_ARM_HWCAP2 = {"sve2": 1, "i8mm": 13, "bf16": 14}


@cache
def cpuinfo() -> tuple[dict[str, str], ...]:
    """The records of /proc/cpuinfo, one for each logical CPU; empty where the system has no such file."""
    if not _CPUINFO.exists():
        return ()
    return parse_cpuinfo(_CPUINFO.read_text())


def parse_cpuinfo(text: str) -> tuple[dict[str, str], ...]:
    """Split the text of /proc/cpuinfo into records of key and value."""
    records = []
    for block in text.strip().split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines() if ":" in line)
        records.append({key.strip(): value.strip() for key, _, value in pairs})
    return tuple(records)


def features() -> frozenset[str]:
    """Feature flags under the kernel's names: `flags` on x86, `Features` (hwcaps) on aarch64."""
    if platform.machine() == "aarch64" and sys.platform == "linux":
        # Asked of the kernel itself: /proc/cpuinfo may be absent, or an emulator's host's.
        auxiliary_value = ctypes.CDLL(None).getauxval
        auxiliary_value.argtypes, auxiliary_value.restype = [ctypes.c_ulong], ctypes.c_ulong
        return arm_features(auxiliary_value(_AT_HWCAP), auxiliary_value(_AT_HWCAP2))
    flags: set[str] = set()
    for record in cpuinfo()[:1]:
        flags |= set((record.get("flags") or record.get("Features") or "").split())
    return frozenset(flags)


def arm_features(hwcap: int, hwcap2: int) -> frozenset[str]:
    """Feature names for the two words of capabilities that Linux gives a process on aarch64."""
    words = ((hwcap, _ARM_HWCAP), (hwcap2, _ARM_HWCAP2))
    return frozenset(name for word, bits in words for name, bit in bits.items() if word >> bit & 1)


def model_name() -> str:
    """The CPU's own name, or the machine's architecture where there is none."""
    return next((r["model name"] for r in cpuinfo() if "model name" in r), platform.machine())


def usable_cores() -> int:
    """Logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Physical cores among the usable logical CPUs: a second thread of a core adds no memory bandwidth."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    cores = {
        (record["physical id"], record["core id"])
        for record in cpuinfo()
        if "core id" in record
        and "physical id" in record
        and (allowed is None or int(record.get("processor", -1)) in allowed)
    }
    return len(cores) or usable_cores()


def last_level_cache_bytes() -> int:
    """Bytes of the largest cache of the first core; 32 MiB where the system does not say."""
    sizes = [_bytes(p.read_text()) for p in _CACHES.glob("index*/size")]
    return max(sizes, default=32 << 20)


def _bytes(text: str) -> int:
    number, unit = text.strip()[:-1], text.strip()[-1:]
    return int(number) << {"K": 10, "M": 20, "G": 30}[unit]


def check_machine(triple: str) -> None:
    """Refuse an artifact whose library is code for another instruction set, as LLVM's triple names it."""
    own = _MACHINES.get(platform.machine(), platform.machine())
    arch = triple.partition("-")[0]
    if triple and arch != own:
        raise HostError(
            f"the artifact is code for {arch}, and this machine is {own}",
            f"copy it to a machine with {arch}, or compile it for this one: cosyn compile MODEL --target cpu",
        )


def check_features(required: Iterable[str]) -> None:
    """Refuse an artifact compiled for instructions that this CPU lacks: they would kill the process later."""
    found = features()
    missing = sorted(set(required) - found)
    if missing and not found:
        raise HostError(
            f"the artifact needs {', '.join(missing)}, and this system does not say what its CPU has",
            "run it on Linux, or compile it for this machine: cosyn compile MODEL --target cpu",
        )
    if missing:
        raise HostError(
            f"the artifact needs CPU features that this machine ({model_name()}) lacks: {', '.join(missing)}",
            "compile it again on this machine, or for it: cosyn compile MODEL --target cpu",
        )
