"""What an op declares: its operands, attributes, type rule, meaning and cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.ir.node import NoAttrs
from cosyn.ir.types import Dim, TensorType

Array = npt.NDArray[Any]


class Kind(Enum):
    """How an op reads its operands: what fusion, planning and scheduling ask first."""

    ELEMENTWISE = "elementwise"  # result[i] depends on operand[i] (numpy broadcasting)
    MOVEMENT = "movement"  # result elements are operand elements, elsewhere
    ROW = "row"  # reduces over the last axis, one row at a time
    LINEAR = "linear"  # contracts with a weight
    ATTENTION = "attention"  # reads or writes KV state
    GATHER = "gather"  # picks rows by index
    OTHER = "other"


class OpError(ValueError):
    """Operands or attributes that an op does not accept; the message says what was expected and found."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one node: `ops` (a multiply-add counts 2), `read` and `written` bytes; may be symbolic."""

    ops: Dim
    read: Dim
    written: Dim


@dataclass(frozen=True, slots=True)
class Op:
    """One op of the IR.

    `infer(attrs, types)` gives the result types or raises OpError. `reference(attrs, *operands)` is the one
    meaning of the op, on numpy arrays of any float width; it returns one array, or a tuple for several
    results. `ops(attrs, operand_types, result_types)` counts arithmetic. `read` counts the bytes read, for an
    op that does not read each operand once.
    """

    name: str
    doc: str
    kind: Kind
    arity: tuple[int, int]
    infer: Callable[[Any, Sequence[TensorType]], tuple[TensorType, ...]]
    reference: Callable[..., Any]
    ops: Callable[[Any, Sequence[TensorType], Sequence[TensorType]], Dim]
    attrs: type = NoAttrs
    read: Callable[[Any, Sequence[TensorType], Sequence[TensorType]], Dim] | None = None

    def cost(self, attrs: object, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Cost:
        """Arithmetic and bytes of one node: operands read (state apart), each result written once."""
        if self.read is not None:
            read = self.read(attrs, operands, results)
        else:
            read = sum((t.nbytes for t in operands), start=0)
        written = sum((t.nbytes for t in results), start=0)
        return Cost(self.ops(attrs, operands, results), read, written)


def broadcast(shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """The numpy broadcast of the shapes; OpError where two dimensions disagree."""
    rank = max((len(s) for s in shapes), default=0)
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    result: list[Dim] = []
    for dims in zip(*padded, strict=True):
        wide = {d for d in dims if d != 1}
        if len(wide) > 1:
            raise OpError(f"shapes {[tuple(map(str, s)) for s in shapes]} do not broadcast")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def compute_dtype(*arrays: Array) -> np.dtype[Any]:
    """The float type that a reference function computes in: the widest float operand, at least f32."""
    return np.result_type(np.float32, *[a.dtype for a in arrays if a.dtype in (np.float32, np.float64)])
