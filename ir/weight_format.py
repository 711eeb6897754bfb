"""How a weight matrix is stored: bits, groups, scales, zero points; and what the stored codes mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosyn.ir.dtype import DType


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """Quantized storage of a matrix `[..., rows, columns]`, grouped along the last axis (the reduction).

    `group_size` columns share one scale (0: the whole row shares it). A symmetric format stores signed codes
    in `[-(2^(bits-1)), 2^(bits-1) - 1]` and has no zero point; an asymmetric one stores unsigned codes and one
    integer zero point per group. Value = scale · (code - zero).
    """

    bits: int
    group_size: int = 0
    symmetric: bool = True
    scale_dtype: DType = DType.F16

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"weight bits must lie in 2..8, found {self.bits}")
        if self.group_size < 0:
            raise ValueError(f"group size must be 0 (whole row) or positive, found {self.group_size}")
        if not self.scale_dtype.is_float:
            raise ValueError(f"scales must be floating point, found {self.scale_dtype!r}")

    @property
    def low(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.symmetric else 0

    @property
    def high(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.symmetric else (1 << self.bits) - 1

    def group(self, columns: int) -> int:
        """Columns per group for a row of `columns`; raises ValueError where they do not divide."""
        size = self.group_size or columns
        if columns % size:
            raise ValueError(f"group size {size} does not divide {columns} columns")
        return size

    def stored_bits(self, columns: int) -> int:
        """Bits that one row of `columns` weights takes: codes, scales and zero points."""
        groups = columns // self.group(columns)
        zeros = 0 if self.symmetric else 8
        return columns * self.bits + groups * (self.scale_dtype.bits + zeros)

    def __str__(self) -> str:
        kind = "i" if self.symmetric else "u"
        group = f"g{self.group_size}" if self.group_size else "row"
        return f"{kind}{self.bits}{group}:{self.scale_dtype.value}"

    @staticmethod
    def parse(text: str) -> WeightFormat:
        """The format that prints as `text`, such as `i4g32:f16` or `u4g128:f16` or `i8row:f32`."""
        body, _, scale = text.partition(":")
        bits, _, group = body[1:].partition("g")
        if body.endswith("row"):
            bits, group = body[1:-3], "0"
        return WeightFormat(int(bits), int(group), body[0] == "i", DType(scale))


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A stored matrix: `codes` i8/u8 `[..., rows, columns]`, `scales` and `zeros` `[..., rows, groups]`."""

    format: WeightFormat
    codes: npt.NDArray[np.int8] | npt.NDArray[np.uint8]
    scales: npt.NDArray[np.generic]
    zeros: npt.NDArray[np.uint8] | None = None

    def decode(self, dtype: type[np.floating] = np.float32) -> npt.NDArray[np.floating]:
        """The matrix of real values that the codes stand for: scale · (code - zero)."""
        *lead, columns = self.codes.shape
        size = self.format.group(columns)
        grouped = self.codes.reshape(*lead, columns // size, size).astype(dtype)
        if self.zeros is not None:
            grouped -= self.zeros[..., None].astype(dtype)
        grouped *= self.scales[..., None].astype(dtype)
        return grouped.reshape(self.codes.shape)
