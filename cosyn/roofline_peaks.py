"""What this machine can do at most: bytes read and operations per second, measured where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from cosyn.estimation_roofline import measured_ops
from cosyn.runtime.host_cpu import physical_cores

Precision = Literal["f32", "bf16", "i8"]

_FEATURE_FACTORS: Mapping[Precision, Mapping[str, float]] = MappingProxyType(
    {
        "bf16": {"avx512_bf16": 2.0, "bf16": 2.0},
        "i8": {"avx512_vnni": 4.0, "avx_vnni": 4.0, "dotprod": 4.0, "i8mm": 8.0},
    }
)
"""Multiply-adds of one instruction over those of f32 in a register of the same width."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """`f32` operations per second as a large matrix product reaches them, `factors` of other precisions over it."""

    bytes_per_second: float
    f32: float
    factors: Mapping[Precision, float]

    def ops_per_second(self, precision: Precision) -> float:
        return self.f32 * self.factors.get(precision, 1.0)

    def __str__(self) -> str:
        others = ", ".join(f"{f:g} times that in {p}" for p, f in self.factors.items() if f != 1)
        return (
            f"{self.bytes_per_second / 1e9:.1f} GB/s read, {self.f32 / 1e9:.0f} GFLOP/s in f32, both measured now"
            + (f"; {others} by the instruction set" if others else "")
        )


def measure_peaks(bandwidth: Callable[[], float], features: tuple[str, ...], threads: int) -> Peaks:
    """The peaks on `threads` threads of a CPU with these features; `bandwidth` measures bytes per second."""
    factors = {
        p: max((f for n, f in known.items() if n in features), default=1.0) for p, known in _FEATURE_FACTORS.items()
    }
    # numpy's matrix product runs on all cores.
    return Peaks(bandwidth(), measured_ops() * min(1.0, threads / physical_cores()), factors)
