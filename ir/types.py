"""Tensor types with symbolic dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import sympy

from cosyn.ir.dtype import DType
from cosyn.ir.weight_format import WeightFormat

Dim: TypeAlias = int | sympy.Expr

SEQ = sympy.Symbol("seq", integer=True, positive=True)
"""Tokens in this step, over all sequences of the batch."""
OUT = sympy.Symbol("out", integer=True, positive=True)
"""Rows of logits that the caller asks for in this step."""
PAST = sympy.Symbol("past", integer=True, nonnegative=True)
"""Tokens already in the KV cache; only costs depend on it."""

_SYMBOLS = {str(s): s for s in (SEQ, OUT, PAST)}


def symbol(name: str) -> sympy.Symbol:
    """The symbolic dimension of that name; equal names give equal symbols."""
    return _SYMBOLS.setdefault(name, sympy.Symbol(name, integer=True, positive=True))


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape and element type; a quantized weight also has the format that it is stored in.

    `dtype` is the type of the values that an op sees; `format`, where given, is how they lie in memory.
    """

    shape: tuple[Dim, ...]
    dtype: DType
    format: WeightFormat | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> Dim:
        """Number of elements, an expression where a dimension is symbolic."""
        count: Dim = 1
        for dim in self.shape:
            count = count * dim
        return count

    @property
    def nbytes(self) -> Dim:
        """Bytes in memory, scales and zero points included; rounded up to whole bytes."""
        if self.format is None:
            return self.elements * self.dtype.bits // 8
        columns = int(self.shape[-1])
        rows = TensorType(self.shape[:-1], self.dtype).elements
        return (rows * self.format.stored_bits(columns) + 7) // 8

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the symbolic dimensions that occur."""
        return frozenset(str(s) for d in self.shape if isinstance(d, sympy.Expr) for s in d.free_symbols)

    def __str__(self) -> str:
        dims = ", ".join(str(d) for d in self.shape)
        suffix = f" as {self.format}" if self.format else ""
        return f"{self.dtype.value}[{dims}]{suffix}"


STATE_TYPE = TensorType((), DType.STATE)
"""Type of a handle to mutable state."""


def bind_dim(dim: Dim, bindings: dict[str, int]) -> int:
    """The integer that `dim` is under `bindings` (symbol name → value); KeyError names an unbound symbol."""
    if isinstance(dim, int):
        return dim
    return int(dim.subs({s: bindings[str(s)] for s in dim.free_symbols}))
