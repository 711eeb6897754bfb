"""Random legal MM and MV instructions with their streams, activations and scales."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosyn.accelerator_model.config import BANK_REGISTERS, REGISTER_BANKS, REGISTERS, AcceleratorConfig
from cosyn.accelerator_model.isa import Kept, MatrixInstruction, MatrixMatrix, MatrixVector, Ring, WeightBits
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.matrix_meaning import execute, problems
from cosyn.accelerator_model.isa.operands import register_number
from cosyn.accelerator_model.tile_stream import DENSE, pack_tiles, tile_words, unit_steps

BITS = {2: WeightBits.B2, 3: WeightBits.B3, 4: WeightBits.B4, 8: WeightBits.B8}
KEPT = {DENSE: Kept.DENSE, 8: Kept.N8, 4: Kept.N4, 2: Kept.N2}
Values = Literal["random", "extreme"]


@dataclass(frozen=True)
class Shape:
    """What a case is about; everything else is drawn."""

    mm: bool
    bits: int = 8
    kept: int = DENSE
    group_steps: int = 0
    steps: int = 4
    tiles: int = 1
    rows: int = 1
    row: int = 0
    ring: Ring = Ring.WEIGHTS
    column_scaled: bool = True
    token_scaled: bool = True
    from_registers: bool = False
    values: Values = "random"


@dataclass(frozen=True)
class Case:
    """An instruction with all that it reads, and what it must write."""

    shape: Shape
    instruction: MatrixInstruction
    registers: tuple[int, ...]
    stripes: NDArray[np.uint8]
    activation: NDArray[np.uint8]
    """[bank, line, byte]"""
    activation_lines: range
    vector: NDArray[np.uint32]
    """The vector buffer before."""
    expected: NDArray[np.uint32]
    """and after."""
    digest: int


def random_shape(config: AcceleratorConfig, rng: Generator, *, mm: bool | None = None, largest: int = 12) -> Shape:
    """A shape that is legal for `config`."""
    mm = bool(rng.integers(2)) if mm is None else mm
    bits = int(rng.choice(config.weight_bits))
    kept = int(rng.choice([DENSE, *config.kept])) if bits != 3 else DENSE
    unit = unit_steps(bits, kept)
    steps = unit * int(rng.integers(1, max(2, largest // unit)))
    rows = int(rng.integers(1, 3 * config.token_group)) if mm else 1
    row = config.token_group * int(rng.integers(3)) if mm else int(rng.integers(2 * config.token_group))
    return Shape(
        mm=mm,
        bits=bits,
        kept=kept,
        group_steps=0 if bits == 8 or rng.integers(2) else int(rng.integers(1, 6)),
        steps=steps,
        tiles=int(rng.integers(1, 5)),
        rows=rows,
        row=row,
        ring=Ring(int(rng.integers(2))),
        column_scaled=bool(rng.integers(4)),
        token_scaled=bool(rng.integers(4)),
        from_registers=not rng.integers(3),
        values="extreme" if not rng.integers(6) else "random",
    )


def make_case(config: AcceleratorConfig, rng: Generator, shape: Shape) -> Case:
    """A case of that shape; its addresses are drawn too."""
    rows_in = shape.steps * config.window(shape.kept)
    columns = shape.tiles * config.tile_columns
    codes, scales = _weights(config, rng, shape, rows_in, columns)
    words = pack_tiles(config, codes, shape.bits, shape.kept, shape.group_steps, scales)
    stripes = words.reshape(-1, config.stripe_bytes)

    row_lines = -(-rows_in // config.activation_line_bytes) + int(rng.integers(2))
    groups = (shape.row + shape.rows - 1) // config.token_group + 1
    first = int(rng.integers(config.activation_lines - groups * row_lines))
    tile_lines = columns // config.lanes
    stride = tile_lines + int(rng.integers(3))
    scale_lines = (2 * config.lanes + shape.rows) // config.lanes + 1
    total = tile_lines + scale_lines + stride * shape.rows
    base = int(rng.integers(config.vector_lines - total))
    registers = [int(value) for value in rng.integers(1 << 16, size=REGISTERS)]
    kind = MatrixMatrix if shape.mm else MatrixVector
    instruction = kind(
        ring=shape.ring,
        bits=BITS[shape.bits],
        kept=KEPT[shape.kept],
        group_steps=shape.group_steps,
        steps=shape.steps,
        tiles=shape.tiles,
        rows=shape.rows,
        activation_line=first,
        row=shape.row,
        row_lines=row_lines,
        column_scale=base,
        column_scaled=int(shape.column_scaled),
        token_scale=(base + tile_lines) * config.lanes + int(rng.integers(2 * config.lanes)),
        token_scaled=int(shape.token_scaled),
        destination=base + tile_lines + scale_lines,
        destination_stride=stride,
    )
    if shape.from_registers:
        steps_reg, tiles_reg = (int(value) for value in rng.choice(np.arange(1, BANK_REGISTERS), 2, replace=False))
        bank = int(rng.integers(REGISTER_BANKS))
        registers[register_number(steps_reg, bank)] = shape.steps
        registers[register_number(tiles_reg, bank)] = shape.tiles
        instruction = replace(instruction, steps=9999, steps_reg=steps_reg, tiles=7777, tiles_reg=tiles_reg, bank=bank)

    state = CoreState(config, np.zeros((1, config.stripe_bytes), np.uint8))
    state.start(registers)
    lines = range(first, first + groups * row_lines)
    size = (config.token_group, len(lines), config.activation_line_bytes)
    low = -127
    drawn = rng.choice([low, 127], size) if shape.values == "extreme" else rng.integers(low, 128, size)
    state.activation[:, first : first + len(lines)] = drawn.astype(np.int8).view(np.uint8)
    state.activation_known[:] = True
    state.vector[base : base + total] = _floats(rng, (total, config.lanes))
    state.vector_known[:] = True
    state.rings[shape.ring].push(stripes)
    wrong = list(problems(instruction, config, state.registers, 1))
    assert not wrong, wrong
    before = state.vector.copy()
    digest = execute(instruction, state)
    return Case(
        shape, instruction, state.registers, stripes, state.activation, lines, before, state.vector.copy(), digest
    )


def _floats(rng: Generator, size: tuple[int, ...]) -> NDArray[np.uint32]:
    """Scales of all magnitudes, zeros and subnormals among them."""
    values = (rng.standard_normal(size) * 2.0 ** rng.integers(-30, 10, size)).astype(np.float32)
    special = np.array([0.0, 1.0, 1e-40, 3e38, -1e-38], np.float32)
    chosen = np.where(rng.integers(12, size=size) == 0, rng.choice(special, size), values)
    return chosen.astype(np.float32).view(np.uint32)


def _weights(
    config: AcceleratorConfig, rng: Generator, shape: Shape, rows: int, columns: int
) -> tuple[NDArray[np.int8], NDArray[np.uint8] | None]:
    low, high = -(1 << shape.bits - 1), (1 << shape.bits - 1) - 1
    size = (rows, columns)
    codes = rng.choice([low, high], size) if shape.values == "extreme" else rng.integers(low, high + 1, size)
    if shape.kept != DENSE:
        order = rng.random((rows // 16, 16, columns // 2)).argsort(axis=1)
        keep = np.repeat(order < shape.kept, 2, axis=2).reshape(size)
        codes = np.where(keep, codes, 0)
    scales = None
    if shape.group_steps:
        groups = -(-rows // (shape.group_steps * config.window(shape.kept)))
        scales = rng.integers(0, (127 >> shape.bits - 1) + 1, (groups, columns)).astype(np.uint8)
        scales[rng.random(scales.shape) < 0.2] = 127 >> shape.bits - 1
    return codes.astype(np.int8), scales


def words_of(config: AcceleratorConfig, shape: Shape) -> int:
    """Ring words of a tile."""
    return tile_words(config, shape.steps, shape.bits, shape.kept, shape.group_steps)
