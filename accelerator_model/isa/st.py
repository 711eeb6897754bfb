"""ST: vector lines, keys, values or their scales → memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from cosyn.accelerator_model.isa.field import field
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.opcode import Opcode


class StoreMode(IntEnum):
    """What is stored, and how it lies in memory."""

    LINES = 0
    KEY = 1
    VALUE = 2
    SCALE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Store(Instruction):
    """Write `rows` rows to memory.

    LINES: vector lines source + r source_stride ... to `length` whole stripes at address + r row_stride.
    KEY: activation row `row` + r, `length` steps of chain_length bytes; step s of token t goes to its column of
    the 8-bit tile at stripe address + (t // tile_columns) row_stride, where t counts on from (KEY_TILE,
    KEY_COLUMN): byte s macs + place(t % tile_columns), place(c) = ((c % 2) chains + c // 2) chain_length.
    VALUE: activation row `row` + r, `length` column tiles of tile_columns bytes; column c of tile i goes to the
    8-bit tile at stripe address + i row_stride: byte (t // chain_length) macs + place(c) + t % chain_length, where t
    counts on from (VALUE_STEP, VALUE_LANE).
    SCALE: vector word source + r goes to 32-bit word t from stripe `address`, t counting on from (SCALE_STRIPE,
    SCALE_WORD).
    """

    opcode: ClassVar[Opcode] = Opcode.ST

    mode: int = field(2, "what is stored", choices=StoreMode)
    address: int = field(32, "first stripe")
    address_reg: int = field(4, "register added to the address; 0: none")
    rows: int = field(16, "rows (tokens)", default=1)
    row_stride: int = field(32, "LINES: stripes between rows; KEY, VALUE: stripes between tiles")
    length: int = field(24, "LINES: stripes of a row; KEY: steps; VALUE: column tiles")
    source: int = field(24, "LINES: vector line; SCALE: vector word; KEY, VALUE: activation line")
    source_stride: int = field(20, "LINES: vector lines between rows; KEY, VALUE: activation lines of a row")
    row: int = field(10, "KEY, VALUE: first activation row")
