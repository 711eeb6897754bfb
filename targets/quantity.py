"""A number with its unit and where it was taken from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Dimension(Enum):
    """What a quantity measures; the value is the base unit that `Quantity.base` is in."""

    COMPUTE = "op/s"
    BANDWIDTH = "B/s"
    CAPACITY = "B"
    POWER = "W"


UNITS: dict[str, tuple[Dimension, float]] = {
    "GFLOP/s": (Dimension.COMPUTE, 1e9),
    "TFLOP/s": (Dimension.COMPUTE, 1e12),
    "TOP/s": (Dimension.COMPUTE, 1e12),
    "GB/s": (Dimension.BANDWIDTH, 1e9),
    "TB/s": (Dimension.BANDWIDTH, 1e12),
    "MB": (Dimension.CAPACITY, 1e6),
    "GB": (Dimension.CAPACITY, 1e9),
    "MiB": (Dimension.CAPACITY, 2.0**20),
    "GiB": (Dimension.CAPACITY, 2.0**30),
    "W": (Dimension.POWER, 1.0),
}
"""Unit as written in a description → what it measures, and its size in base units."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` in `unit`, as stated by `source` (a datasheet or a standard, by name and address)."""

    value: float
    unit: str
    source: str

    @property
    def base(self) -> float:
        """The number in the base unit of its dimension: op/s, B/s, B or W."""
        return self.value * UNITS[self.unit][1]

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"
