"""What MM and MV demand and do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.digest import digest
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.matrix import Kept, MatrixInstruction, Ring, WeightBits
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.isa.operands import out_of_range, replaced, run_lines
from cosyn.accelerator_model.numerics import float32
from cosyn.accelerator_model.tile_stream import DENSE, expanded, tile_words, unit_steps, unpack_tiles

BITS = {WeightBits.B2: 2, WeightBits.B3: 3, WeightBits.B4: 4, WeightBits.B8: 8}
KEPT = {Kept.DENSE: DENSE, Kept.N8: 8, Kept.N4: 4, Kept.N2: 2}

_EXACT_ROWS = 1024
"""Products of INT8 are at most 2^14 in size, so 2^10 of them add up exactly in float32."""
_BATCH_BYTES = 1 << 21
"""Weights expanded at a time."""


class MatrixShape(NamedTuple):
    """Sizes of a matrix instruction with the registers in place."""

    rows: int
    steps: int
    tiles: int
    bits: int
    kept: int
    """N of 16; 16 when dense."""
    group_steps: int
    words: int
    """Ring words of a tile."""


def shape(instruction: MatrixInstruction, config: AcceleratorConfig, registers: Sequence[int]) -> MatrixShape:
    """The sizes of `instruction`."""
    bits, kept = BITS[WeightBits(instruction.bits)], KEPT[Kept(instruction.kept)]
    steps = replaced(instruction.steps, instruction.steps_reg, registers, instruction.bank)
    tiles = replaced(instruction.tiles, instruction.tiles_reg, registers, instruction.bank)
    words = tile_words(config, steps, bits, kept, instruction.group_steps)
    return MatrixShape(instruction.rows, steps, tiles, bits, kept, instruction.group_steps, words)


def problems(
    instruction: MatrixInstruction, config: AcceleratorConfig, registers: Sequence[int], stripes: int
) -> Iterator[str]:
    """What is not legal about it, a sentence each."""
    name = instruction.opcode.name
    sizes = shape(instruction, config, registers)
    if sizes.bits not in config.weight_bits:
        yield f"{name}.bits is {sizes.bits}, the configuration has {list(config.weight_bits)}"
    if sizes.kept != DENSE:
        if sizes.kept not in config.kept:
            yield f"{name}.kept is {sizes.kept} of 16, the configuration has {list(config.kept)}"
        if sizes.bits == 3:
            yield f"{name}.bits: 3-bit weights are never sparse, {name}.kept is {sizes.kept} of 16"
        if sizes.kept > config.chain_length:
            yield f"{name}.kept {sizes.kept} exceeds the chain length {config.chain_length}"
    if sizes.group_steps and sizes.bits == 8:
        yield f"{name}.group_steps must be 0 for 8-bit weights, found {sizes.group_steps}"
    for field, value in (("steps", sizes.steps), ("tiles", sizes.tiles), ("rows", sizes.rows)):
        if value == 0:
            yield f"{name}.{field} must be at least 1"
    unit = unit_steps(sizes.bits, sizes.kept)
    if sizes.steps % unit:
        yield f"{name}.steps {sizes.steps} must be a multiple of {unit} for this stream"
    if instruction.opcode == Opcode.MV and sizes.rows != 1:
        yield f"MV.rows must be 1, found {sizes.rows}"
    if instruction.opcode == Opcode.MM:
        yield from _mm_problems(instruction, config, sizes)
    yield from _range_problems(instruction, config, sizes)


def _mm_problems(instruction: MatrixInstruction, config: AcceleratorConfig, sizes: MatrixShape) -> Iterator[str]:
    if instruction.row % config.token_group:
        yield f"MM.row {instruction.row} must be a multiple of the token group {config.token_group}"
    depth = config.weight_ring_words if instruction.ring == Ring.WEIGHTS else config.kv_ring_words
    if sizes.rows > config.token_group and sizes.words > depth:
        ring = Ring(instruction.ring).name
        yield (
            f"MM.steps: a tile of {sizes.steps} steps has {sizes.words} words and is read once per {config.token_group}"
            f" of {sizes.rows} rows, but the {ring} ring holds {depth}"
        )


def _range_problems(instruction: MatrixInstruction, config: AcceleratorConfig, sizes: MatrixShape) -> Iterator[str]:
    name = instruction.opcode.name
    needed = sizes.steps * config.window(sizes.kept)
    if needed > instruction.row_lines * config.activation_line_bytes and (
        sizes.rows > config.token_group or instruction.row >= config.token_group
    ):
        yield (
            f"{name}.row_lines {instruction.row_lines} hold {instruction.row_lines * config.activation_line_bytes}"
            f" bytes of a row, {sizes.steps} steps read {needed}"
        )
    last_group = (instruction.row + sizes.rows - 1) // config.token_group
    lines = -(-needed // config.activation_line_bytes)
    what = f"{name}.activation_line: the activation line"
    first = instruction.activation_line + last_group * instruction.row_lines
    yield from out_of_range(what, first, 1, 0, lines, config.activation_lines)
    lines = sizes.tiles * config.tile_columns // config.lanes
    yield from out_of_range(
        f"{name}.destination: the vector line",
        instruction.destination,
        sizes.rows,
        instruction.destination_stride,
        lines,
        config.vector_lines,
    )
    if instruction.column_scaled:
        what = f"{name}.column_scale: the vector line"
        yield from out_of_range(what, instruction.column_scale, 1, 0, lines, config.vector_lines)
    if instruction.token_scaled:
        what, limit = f"{name}.token_scale: the vector word", config.vector_lines * config.lanes
        yield from out_of_range(what, instruction.token_scale, 1, 0, sizes.rows, limit)


def int_matmul(activations: NDArray[np.int8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """Exact [m, k] x [k, n], through the float32 unit in stretches short enough to be exact."""
    total = np.zeros((activations.shape[0], weights.shape[1]), np.int32)
    for start in range(0, activations.shape[1], _EXACT_ROWS):
        part = slice(start, start + _EXACT_ROWS)
        total += (activations[:, part].astype(np.float32) @ weights[part].astype(np.float32)).astype(np.int32)
    return total


def execute(instruction: MatrixInstruction, state: CoreState) -> int:
    """Multiply and write the vector buffer; the digest of the writes: by tile, token group, row, line."""
    config = state.config
    sizes = shape(instruction, config, state.registers)
    name = instruction.opcode.name
    count = sizes.steps * config.window(sizes.kept)
    activations = np.stack(
        [
            state.read_activation(
                instruction.row + row, instruction.activation_line, instruction.row_lines, count, f"{name}.row"
            )
            for row in range(sizes.rows)
        ]
    )
    sums = np.concatenate(list(_tile_sums(instruction, state, sizes, activations)), axis=1)
    result = float32.from_int32(sums)
    tile_lines = config.tile_columns // config.lanes
    if instruction.column_scaled:
        lines = np.arange(sizes.tiles * tile_lines) + instruction.column_scale
        scales = state.read_lines(lines, f"{name}.column_scale")
        result = float32.multiply(result, scales.reshape(1, -1))
    if instruction.token_scaled:
        words = np.arange(sizes.rows) + instruction.token_scale
        result = float32.multiply(result, state.read_words(words, f"{name}.token_scale")[:, None])
    lines = run_lines(instruction.destination, sizes.rows, instruction.destination_stride, sizes.tiles * tile_lines)
    raw = np.ascontiguousarray(result).view(np.uint32).reshape(*lines.shape, config.lanes)
    state.write_lines(lines, raw)
    return _digest(config, sizes, lines, np.bitwise_xor.reduce(raw, axis=-1))


def _tile_sums(
    instruction: MatrixInstruction, state: CoreState, sizes: MatrixShape, activations: NDArray[np.int8]
) -> Iterator[NDArray[np.int32]]:
    """INT32 results [rows, columns] of as many tiles as fit the batch."""
    config = state.config
    rows = activations.shape[1]
    batch = max(1, _BATCH_BYTES // (rows * config.tile_columns))
    for first in range(0, sizes.tiles, batch):
        tiles = min(batch, sizes.tiles - first)
        stripes = state.rings[Ring(instruction.ring)].pop(tiles * sizes.words * config.ring_reads)
        words = stripes.reshape(tiles, sizes.words, config.word_bytes)
        columns = tiles * config.tile_columns
        matrix = unpack_tiles(config, words, rows, columns, sizes.bits, sizes.kept, sizes.group_steps)
        yield int_matmul(activations, expanded(config, matrix, sizes.kept, sizes.group_steps))


def _digest(config: AcceleratorConfig, sizes: MatrixShape, lines: NDArray[np.intp], folded: NDArray[np.uint32]) -> int:
    """Digest of writes [rows, tiles x lines of a tile] in the order of the drain."""
    row, line = np.divmod(np.arange(lines.size), lines.shape[1])
    tile = line // (lines.shape[1] // sizes.tiles)
    # Within a tile the token groups come one after another, so its rows are in order too.
    order = np.lexsort((line, row, tile))
    return digest(lines.reshape(-1)[order], folded.reshape(-1)[order])
