"""The roofline model: work takes as long as its arithmetic or its memory traffic, whichever is longer.

Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosyn.targets.target import Target

Bound = Literal["compute", "memory"]


@dataclass(frozen=True, slots=True)
class Roofline:
    """A machine as two numbers: arithmetic in op/s (a multiply-add counts 2) and memory traffic in B/s."""

    ops_per_second: float
    bytes_per_second: float

    @property
    def ridge(self) -> float:
        """Operations per byte at which work turns from memory bound to compute bound."""
        return self.ops_per_second / self.bytes_per_second

    def seconds(self, ops: float, nbytes: float) -> float:
        """The least time that `ops` operations on `nbytes` bytes of traffic can take."""
        return max(ops / self.ops_per_second, nbytes / self.bytes_per_second)

    def bound(self, ops: float, nbytes: float) -> Bound:
        """Which of the two limits the work; at the ridge, memory."""
        return "compute" if ops / self.ops_per_second > nbytes / self.bytes_per_second else "memory"

    def fraction(self, ops: float, nbytes: float, measured_seconds: float) -> float:
        """Share of the roofline that work finished in `measured_seconds` reached: 1 is the best possible."""
        return self.seconds(ops, nbytes) / measured_seconds


def target_roofline(target: Target, precision: str) -> Roofline | None:
    """The datasheet roofline of `target` for arithmetic in `precision`; None where a peak is not stated."""
    compute, bandwidth = target.peaks.compute.get(precision), target.peaks.memory_bandwidth
    if compute is None or bandwidth is None:
        return None
    return Roofline(compute.base, bandwidth.base)
