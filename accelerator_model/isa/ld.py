"""LD: memory → weight ring, KV ring or vector buffer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from cosyn.accelerator_model.isa.field import field
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.opcode import Opcode


class LoadTarget(IntEnum):
    """Where loaded stripes go."""

    WEIGHTS = 0
    KV = 1
    VECTOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Instruction):
    """Read `rows` runs of `length` stripes; run r starts at stripe address + R[address_reg] + r row_stride.

    Ring targets get the stripes in order. VECTOR writes stripe s of run r to `stripe_lines` lines from
    vector_line + r vector_stride + s stripe_lines. With `length_reg` the length is length x R[length_reg].
    With `checked`, the rotate-xor checksum of the stripes must equal `checksum`. Registers are those of `bank`.
    """

    opcode: ClassVar[Opcode] = Opcode.LD

    target: int = field(2, "destination", choices=LoadTarget)
    address: int = field(32, "first stripe")
    address_reg: int = field(4, "register added to the address; 0: none")
    length: int = field(24, "stripes of one run")
    length_reg: int = field(4, "register that multiplies the length; 0: none")
    rows: int = field(16, "runs", default=1)
    row_stride: int = field(32, "stripes from one run to the next")
    vector_line: int = field(20, "first vector line")
    vector_stride: int = field(20, "vector lines from one run to the next")
    checked: int = field(1, "compare the checksum")
    checksum: int = field(32, "s = rotl1(s) ^ xor of the stripe's 32-bit words, over all stripes in order")
    bank: int = field(2, "bank of the registers")
