"""CPU targets as explicit feature lists, named as in /proc/cpuinfo."""

from __future__ import annotations

import platform
from collections.abc import Collection
from pathlib import Path

from tvm.target import Target

_LEVELS = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "x86-64-v3": ("avx", "avx2", "fma", "f16c", "abm", "bmi1", "bmi2", "movbe"),
    "x86-64-v2": ("ssse3", "sse4_1", "sse4_2", "popcnt"),
}
_X86_EXTRAS = {
    "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16",
    "avx512_vbmi": "avx512vbmi",
    "avx_vnni": "avxvnni",
}
_ARM_EXTRAS = {"asimddp": "dotprod", "i8mm": "i8mm", "fphp": "fullfp16", "bf16": "bf16"}
_ARM_BASE = "asimd"


class CpuTargetError(ValueError):
    """Features that no supported target has; the message says which are needed."""


def host_features() -> frozenset[str]:
    """Features of this machine that kernels can use, as in /proc/cpuinfo (empty where there is none)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split()) & _known_features()
    return frozenset()


def cpu_target(features: Collection[str], threads: int) -> Target:
    """The LLVM target that may use `features` and nothing more, with `threads` worker threads.

    Features with `asimd` make an aarch64 target; others x86-64, of the highest level that they cover.
    Raises CpuTargetError for an x86-64 without AVX2, FMA and F16C.
    """
    if threads < 1:
        raise CpuTargetError(f"threads must be at least 1, found {threads}")
    if _ARM_BASE in features:
        attributes = ["+neon", *(f"+{_ARM_EXTRAS[f]}" for f in sorted(features) if f in _ARM_EXTRAS)]
        arm = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "generic"}
        return Target(arm | {"mattr": attributes, "num-cores": threads})
    level = next((n for n, needed in _LEVELS.items() if _covers(features, n)), None)
    if level not in ("x86-64-v4", "x86-64-v3"):
        missing = sorted(set(_LEVELS["x86-64-v3"]) - set(features))
        raise CpuTargetError(f"an x86-64 target needs the features {missing} too; found {sorted(features)}")
    attributes = [f"+{_X86_EXTRAS[f]}" for f in sorted(features) if f in _X86_EXTRAS and _allowed(f, level)]
    if level == "x86-64-v4":
        # LLVM's generic v4 prefers half of the vector width, for the clock of Skylake-X.
        attributes.append("-prefer-256-bit")
    config = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": level, "num-cores": threads}
    return Target(config | ({"mattr": attributes} if attributes else {}))


def required_features(target: Target) -> tuple[str, ...]:
    """What a machine must have to run code for `target`, named as in /proc/cpuinfo, sorted."""
    attributes = _attributes(target)
    if is_aarch64(target):
        return tuple(sorted({_ARM_BASE, *(f for f, name in _ARM_EXTRAS.items() if f"+{name}" in attributes)}))
    level = str(target.attrs["mcpu"])
    needed = {f for name, features in _LEVELS.items() if name <= level for f in features}
    return tuple(sorted(needed | {f for f, name in _X86_EXTRAS.items() if f"+{name}" in attributes}))


def is_aarch64(target: Target) -> bool:
    """Whether the target is a 64-bit Arm."""
    return str(target.attrs.get("mtriple", platform.machine())).startswith(("aarch64", "arm64"))


def vector_lanes(target: Target) -> int:
    """f32 lanes of a vector register: 16 with AVX-512, 8 with AVX2, 4 with NEON."""
    if is_aarch64(target):
        return 4
    return 16 if str(target.attrs["mcpu"]) == "x86-64-v4" else 8


def has_vnni(target: Target) -> bool:
    """Whether four u8·s8 products per 32-bit lane are one 512-bit instruction."""
    return vector_lanes(target) == 16 and "+avx512vnni" in _attributes(target)


def has_avx_vnni(target: Target) -> bool:
    """Whether four u8·s8 products per 32-bit lane are one 256-bit instruction, and AVX2 is all there is besides."""
    return vector_lanes(target) == 8 and "+avxvnni" in _attributes(target)


def has_bf16(target: Target) -> bool:
    """Whether two bf16 products per 32-bit lane are one 512-bit instruction."""
    return vector_lanes(target) == 16 and "+avx512bf16" in _attributes(target)


def has_neon_dot(target: Target) -> bool:
    """Whether four s8·s8 products per 32-bit lane are one 128-bit instruction of NEON."""
    return is_aarch64(target) and "+dotprod" in _attributes(target)


def has_i8mm(target: Target) -> bool:
    """Whether products of 2 × 8 unsigned and 2 × 8 signed bytes are one 128-bit instruction of NEON."""
    return has_neon_dot(target) and "+i8mm" in _attributes(target)


def _attributes(target: Target) -> set[str]:
    return {str(a) for a in target.attrs.get("mattr", ())}


def _known_features() -> frozenset[str]:
    levels = {f for features in _LEVELS.values() for f in features}
    return frozenset(levels | _X86_EXTRAS.keys() | _ARM_EXTRAS.keys() | {_ARM_BASE})


def _covers(features: Collection[str], level: str) -> bool:
    return all(f in features for name, needed in _LEVELS.items() if name <= level for f in needed)


def _allowed(feature: str, level: str) -> bool:
    return level == "x86-64-v4" or not feature.startswith("avx512")
