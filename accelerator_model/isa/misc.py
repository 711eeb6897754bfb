"""MISC: one pass of the special-function unit over rows of the vector buffer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from cosyn.accelerator_model.isa.field import field, real
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.opcode import Opcode


class Function(IntEnum):
    """The special function in the middle of a pass."""

    IDENTITY = 0
    EXP = 1
    RECIPROCAL = 2
    RSQRT = 3
    RELU = 4


class Operand(IntEnum):
    """What an operand of a pass is."""

    NONE = 0
    IMMEDIATE0 = 1
    IMMEDIATE1 = 2
    ROW = 3
    """One vector word per row: word address + row."""
    VECTOR = 4
    """A vector per row: line address + row x stride (stride 0: the same for all rows)."""


class Reduction(IntEnum):
    """What is kept of a row's results."""

    NONE = 0
    SUM = 1
    SUM_SQUARES = 2
    MAXIMUM = 3
    ABSOLUTE_MAXIMUM = 4


class Output(IntEnum):
    """Where a pass writes its elements."""

    NONE = 0
    VECTOR = 1
    ACTIVATION = 2
    """Rounded to nearest even and clamped to -127..127 as INT8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misc(Instruction):
    """For each row r and column j < columns: y = F(a b + c) d, in the arithmetic of numerics/float32.py.

    An absent b or d is 1 and an absent c is 0. Columns outside [low, high) give y = 0 and do not take part in the
    reduction, where high = valid + (r if causal) and low = max(0, high - window) if window else 0; columns below
    both `sinks` and high count in spite of the window. `valid` 0 with no register means all columns. The reduction
    of row r goes to vector word reduce_to + r. Registers are those of `bank`.
    """

    opcode: ClassVar[Opcode] = Opcode.MISC

    function: int = field(3, "F", choices=Function)
    rows: int = field(10, "rows", default=1)
    columns: int = field(16, "columns, a multiple of lanes")
    columns_reg: int = field(4, "register that replaces columns; 0: none")
    valid: int = field(16, "valid columns of row 0; 0: all")
    valid_reg: int = field(4, "register that replaces valid; 0: none")
    causal: int = field(1, "each row has one valid column more than the one before")
    window: int = field(16, "only the last `window` valid columns count; 0: all")
    a: int = field(20, "vector line of a")
    a_stride: int = field(20, "vector lines between rows of a")
    b_kind: int = field(3, "kind of b", choices=Operand)
    b: int = field(24, "vector word (ROW) or line (VECTOR) of b")
    b_stride: int = field(20, "vector lines between rows of b")
    c_kind: int = field(3, "kind of c", choices=Operand)
    c: int = field(24, "vector word (ROW) or line (VECTOR) of c")
    c_stride: int = field(20, "vector lines between rows of c")
    c_negate: int = field(1, "subtract c")
    d_kind: int = field(3, "kind of d", choices=Operand)
    d: int = field(24, "vector word (ROW) or line (VECTOR) of d")
    d_stride: int = field(20, "vector lines between rows of d")
    immediate0: float = real("immediate 0")
    immediate1: float = real("immediate 1")
    reduction: int = field(3, "reduction over the row", choices=Reduction)
    reduce_to: int = field(24, "vector word of row 0's reduction")
    output: int = field(2, "where y goes", choices=Output)
    destination: int = field(20, "vector line, or activation line of row 0 in its bank")
    destination_stride: int = field(20, "vector lines between rows, or activation lines of a row")
    destination_row: int = field(10, "first activation row")
    sinks: int = field(16, "first columns that a window does not hide")
    bank: int = field(2, "bank of the registers")
