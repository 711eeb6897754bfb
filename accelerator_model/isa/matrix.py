"""MM and MV: a tile stream from a ring times rows of the activation buffer, scaled into the vector buffer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from cosyn.accelerator_model.isa.field import field
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.opcode import Opcode


class Ring(IntEnum):
    """The stream that a matrix instruction consumes."""

    WEIGHTS = 0
    KV = 1


class WeightBits(IntEnum):
    """Code for the stored width of a weight."""

    B2 = 0
    B3 = 1
    B4 = 2
    B8 = 3


class Kept(IntEnum):
    """Code for N of N:16."""

    DENSE = 0
    N8 = 1
    N4 = 2
    N2 = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixInstruction(Instruction):
    """For each tile: out[r, c] = f32(sum over k of activation[row + r, k] x weight[k, c]) x column scale x token scale.

    `tiles` tiles of tile_columns columns and `steps` steps each come from `ring`, in the stream format of
    `accelerator_model/tile_stream.py`; column c of tile i is output column i tile_columns + c. Output row r goes
    to vector lines destination + r destination_stride. The INT32 sum becomes f32 (round to nearest even), is
    multiplied by vector word column_scale lanes + column if `column_scaled`, then by vector word token_scale + r
    if `token_scaled`. Registers are those of `bank`.
    """

    ring: int = field(1, "stream", choices=Ring)
    bits: int = field(2, "weight width", choices=WeightBits)
    kept: int = field(2, "N of 16 weights kept", choices=Kept)
    group_steps: int = field(12, "steps that share a group scale; 0: no group scales")
    steps: int = field(16, "steps of a tile")
    steps_reg: int = field(4, "register that replaces steps; 0: none")
    tiles: int = field(16, "column tiles")
    tiles_reg: int = field(4, "register that replaces tiles; 0: none")
    rows: int = field(10, "activation rows (tokens); 1 in MV", default=1)
    activation_line: int = field(16, "line of activation row 0 in its bank")
    row: int = field(10, "first activation row; a multiple of the token group in MM")
    row_lines: int = field(12, "activation lines of a row")
    column_scale: int = field(20, "vector line of the column scales")
    column_scaled: int = field(1, "multiply by the column scale")
    token_scale: int = field(24, "vector word of row 0's scale")
    token_scaled: int = field(1, "multiply by the token scale")
    destination: int = field(20, "vector line of output row 0")
    destination_stride: int = field(20, "vector lines between output rows")
    bank: int = field(2, "bank of the registers")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixMatrix(MatrixInstruction):
    """MM: token_group rows at a time; the tile is read from the ring again for each group, then released."""

    opcode: ClassVar[Opcode] = Opcode.MM


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixVector(MatrixInstruction):
    """MV: one row, two columns per chain."""

    opcode: ClassVar[Opcode] = Opcode.MV
