"""SYS: barriers between cores, the exchange of vector slices, and the end of a program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from cosyn.accelerator_model.isa.field import field
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.opcode import Opcode


class SystemOperation(IntEnum):
    """What a SYS instruction does."""

    NOTHING = 0
    """Only waits for and releases tokens."""
    BARRIER = 1
    """Waits until every core is here."""
    EXCHANGE = 2
    """A barrier, then each core in turn writes its lines to the same addresses of every other core."""
    DONE = 3
    """Ends the program: the core is idle and raises its interrupt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System(Instruction):
    """EXCHANGE sends `rows` runs of `lines` vector lines, run r from line base + r row_stride."""

    opcode: ClassVar[Opcode] = Opcode.SYS

    operation: int = field(3, "operation", choices=SystemOperation)
    base: int = field(20, "first vector line that this core sends")
    rows: int = field(10, "runs")
    row_stride: int = field(20, "vector lines between runs")
    lines: int = field(16, "vector lines of a run")
