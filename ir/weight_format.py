"""How a weight matrix is stored: bits, groups, scales, zero points; and what the stored codes mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cosyn.ir.dtype import DType

BLOCK = 16
"""Columns of a block of which N are kept."""

KEPT = (8, 4, 2)
"""Choices of N."""

_FORMAT = re.compile(rf"([iu])(\d+)(?:g(\d+)|row)(u8)?(?:\.(\d+)of{BLOCK})?:(\w+)")


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """Quantized storage of a matrix `[..., rows, columns]`, grouped along the last axis (the reduction).

    `group_size` columns share one scale (0: the whole row shares it). A symmetric format stores signed codes
    in `[-(2^(bits-1)), 2^(bits-1) - 1]` and has no zero point; an asymmetric one stores unsigned codes and one
    integer zero point per group. Value = scale · (code - zero).

    With `integer_scales` a group's scale is an integer of one byte, and the row has a float scale besides: value
    = row scale · (group scale · code), where group scale · code fits INT8. The last group may be shorter.

    `kept` N stores N of each 16 columns; the others are zero. Rows 2 i and 2 i + 1 keep the same columns. An
    integer group scale then covers the columns that `group_size` kept ones come from. 0: all are stored.
    """

    bits: int
    group_size: int = 0
    symmetric: bool = True
    scale_dtype: DType = DType.F16
    integer_scales: bool = False
    kept: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"weight bits must lie in 2..8, found {self.bits}")
        if self.group_size < 0:
            raise ValueError(f"group size must be 0 (whole row) or positive, found {self.group_size}")
        if not self.scale_dtype.is_float:
            raise ValueError(f"scales must be floating point, found {self.scale_dtype!r}")
        if self.integer_scales and not (self.symmetric and self.bits < 8 and self.group_size):
            raise ValueError(f"integer scales need groups of signed codes below 8 bits, found {self}")
        if self.kept not in (0, *KEPT):
            raise ValueError(f"of {BLOCK} columns {', '.join(map(str, KEPT))} may be kept, found {self.kept}")
        if self.kept and self.bits == 3:
            raise ValueError("codes of 3 bits have no sparse form")
        if self.kept and not self.sparse_form:
            raise ValueError(f"sparse weights are signed, in whole rows or groups with integer scales, found {self}")

    @property
    def sparse_form(self) -> bool:
        """Whether N of 16 columns may be kept."""
        return self.symmetric and self.bits != 3 and (self.integer_scales or not self.group_size)

    @property
    def low(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.symmetric else 0

    @property
    def high(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.symmetric else (1 << self.bits) - 1

    def group(self, columns: int) -> int:
        """Columns per group for a row of `columns`; raises ValueError where they do not divide and have to."""
        size = self.group_size or columns
        if self.integer_scales:
            return size * BLOCK // self.kept if self.kept else size
        if columns % size:
            raise ValueError(f"group size {size} does not divide {columns} columns")
        return size

    def stored_bits(self, columns: int) -> int:
        """Bits that one row of `columns` weights takes: codes, scales, zero points, and 4 bits for the place of each
        kept column of two rows.
        """
        groups = -(-columns // self.group(columns))
        stored = -(-columns // BLOCK) * self.kept if self.kept else columns
        codes = stored * self.bits + (stored * 2 if self.kept else 0)
        if self.integer_scales:
            return codes + groups * 8 + self.scale_dtype.bits
        return codes + groups * (self.scale_dtype.bits + (0 if self.symmetric else 8))

    @property
    def expanded(self) -> WeightFormat:
        """The format of `QuantizedWeight.expanded`: without integer scales and sparsity."""
        if self.integer_scales:
            return WeightFormat(8, 0, scale_dtype=self.scale_dtype)
        return replace(self, kept=0)

    def __str__(self) -> str:
        kind = "i" if self.symmetric else "u"
        group = f"g{self.group_size}" if self.group_size else "row"
        integer = "u8" if self.integer_scales else ""
        kept = f".{self.kept}of{BLOCK}" if self.kept else ""
        return f"{kind}{self.bits}{group}{integer}{kept}:{self.scale_dtype.value}"

    @staticmethod
    def parse(text: str) -> WeightFormat:
        """The format that prints as `text`, such as `i4g32:f16`, `u4g128:f16`, `i8row:f32` or `i4g32u8.8of16:f32`.

        Raises ValueError for other text.
        """
        found = _FORMAT.fullmatch(text)
        if found is None:
            raise ValueError(f"found {text!r}")
        kind, bits, group, integer, kept, scale = found.groups()
        return WeightFormat(int(bits), int(group or 0), kind == "i", DType(scale), bool(integer), int(kept or 0))


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A stored matrix: `codes` i8/u8 `[..., rows, columns]`, `scales` and `zeros` `[..., rows, groups]`.

    With integer scales `scales` is `[..., rows, 1]` and `integers` u8 `[..., rows, groups]`.
    """

    format: WeightFormat
    codes: npt.NDArray[np.int8] | npt.NDArray[np.uint8]
    scales: npt.NDArray[np.generic]
    zeros: npt.NDArray[np.uint8] | None = None
    integers: npt.NDArray[np.uint8] | None = None

    def expanded(self) -> QuantizedWeight:
        """The same values without integer group scales and with every column stored: codes of `format.expanded`."""
        if self.integers is None:
            return replace(self, format=self.format.expanded)
        columns = self.codes.shape[-1]
        spread = np.repeat(self.integers, self.format.group(columns), -1)[..., :columns]
        return QuantizedWeight(self.format.expanded, self.codes * spread.view(np.int8), self.scales)

    def decode(self, dtype: type[np.floating] = np.float32) -> npt.NDArray[np.floating]:
        """The matrix of real values that the codes stand for: scale · (code - zero)."""
        if self.integers is not None:
            return self.expanded().decode(dtype)
        *lead, columns = self.codes.shape
        size = self.format.group(columns)
        grouped = self.codes.reshape(*lead, columns // size, size).astype(dtype)
        if self.zeros is not None:
            grouped -= self.zeros[..., None].astype(dtype)
        grouped *= self.scales[..., None].astype(dtype)
        return grouped.reshape(self.codes.shape)
