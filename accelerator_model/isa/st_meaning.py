"""What ST demands and does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES, AcceleratorConfig
from cosyn.accelerator_model.isa.digest import digest, fold
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.opcode import Register
from cosyn.accelerator_model.isa.operands import added, out_of_range, run_lines
from cosyn.accelerator_model.isa.st import Store, StoreMode
from cosyn.accelerator_model.tile_stream import place

Bytes = NDArray[np.uint8]


class Writes(NamedTuple):
    """Writes in order: a stripe, its bytes [n, stripe_bytes] and which of them count (zero elsewhere)."""

    stripes: NDArray[np.intp]
    data: Bytes
    strobes: NDArray[np.bool_]


def tile_stripes(config: AcceleratorConfig) -> int:
    """Stripes of one 8-bit step."""
    return config.macs // config.stripe_bytes


def first_token(instruction: Store, config: AcceleratorConfig, registers: Sequence[int]) -> int:
    """The position that row 0 is stored at."""
    if instruction.mode == StoreMode.KEY:
        return registers[Register.KEY_TILE] * config.tile_columns + registers[Register.KEY_COLUMN]
    if instruction.mode == StoreMode.VALUE:
        return registers[Register.VALUE_STEP] * config.chain_length + registers[Register.VALUE_LANE]
    words = config.stripe_bytes // VECTOR_ELEMENT_BYTES
    return registers[Register.SCALE_STRIPE] * words + registers[Register.SCALE_WORD]


def addresses(instruction: Store, config: AcceleratorConfig, registers: Sequence[int]) -> NDArray[np.intp]:
    """The stripe of each write, in order."""
    first = added(instruction.address, instruction.address_reg, registers)
    rows, length = instruction.rows, instruction.length
    if instruction.mode == StoreMode.LINES:
        return run_lines(first, rows, instruction.row_stride, length).reshape(-1)
    token = first_token(instruction, config, registers) + np.arange(rows)
    if instruction.mode == StoreMode.KEY:
        tile = first + token // config.tile_columns * instruction.row_stride
        byte = np.asarray(place(config, token % config.tile_columns))[:, None] + config.macs * np.arange(length)
        return (tile[:, None] + byte // config.stripe_bytes).reshape(-1)
    if instruction.mode == StoreMode.VALUE:
        step = token // config.chain_length * tile_stripes(config)
        tile = first + instruction.row_stride * np.arange(length)
        inside = np.arange(tile_stripes(config))
        return (step[:, None, None] + tile[:, None] + inside).reshape(-1)
    return first + token * VECTOR_ELEMENT_BYTES // config.stripe_bytes


def problems(instruction: Store, config: AcceleratorConfig, registers: Sequence[int], stripes: int) -> Iterator[str]:
    """What is not legal about it, a sentence each."""
    rows, length, mode = instruction.rows, instruction.length, StoreMode(instruction.mode)
    if rows == 0 or (length == 0 and mode != StoreMode.SCALE):
        yield f"ST stores nothing: rows {rows}, length {length}"
        return
    highest = int(addresses(instruction, config, registers).max())
    if highest >= stripes:
        yield f"ST.address: the stripe reaches {highest}, the last one is {stripes - 1}"
    if mode == StoreMode.LINES:
        what, lines = "ST.source: the vector line", length * config.stripe_lines
        yield from out_of_range(what, instruction.source, rows, instruction.source_stride, lines, config.vector_lines)
    elif mode == StoreMode.SCALE:
        limit = config.vector_lines * config.lanes
        yield from out_of_range("ST.source: the vector word", instruction.source, 1, 0, rows, limit)
    else:
        lines = -(-_row_bytes(instruction, config) // config.activation_line_bytes)
        last_group = (instruction.row + rows - 1) // config.token_group
        first = instruction.source + last_group * instruction.source_stride
        yield from out_of_range("ST.source: the activation line", first, 1, 0, lines, config.activation_lines)


def _row_bytes(instruction: Store, config: AcceleratorConfig) -> int:
    """Bytes of an activation row that KEY and VALUE store."""
    step = config.chain_length if instruction.mode == StoreMode.KEY else config.tile_columns
    return instruction.length * step


def execute(instruction: Store, state: CoreState) -> int:
    """Write memory; the digest of the writes: by row, then step, tile or stripe."""
    found = writes(instruction, state)
    if len(set(found.stripes.tolist())) == len(found.stripes):
        state.memory[found.stripes] = np.where(found.strobes, found.data, state.memory[found.stripes])
    else:
        for stripe, data, strobes in zip(found.stripes.tolist(), found.data, found.strobes, strict=True):
            state.memory[stripe][strobes] = data[strobes]
    return digest(found.stripes, fold(found.data))


def writes(instruction: Store, state: CoreState) -> Writes:
    """What `instruction` writes, in order."""
    config, mode = state.config, StoreMode(instruction.mode)
    stripes = addresses(instruction, config, state.registers)
    data = np.zeros((stripes.size, config.stripe_bytes), np.uint8)
    strobes = np.zeros(data.shape, np.bool_)
    if mode == StoreMode.LINES:
        lines = run_lines(
            instruction.source, instruction.rows, instruction.source_stride, instruction.length * config.stripe_lines
        )
        data = np.ascontiguousarray(state.read_lines(lines, "ST.source")).view(np.uint8).reshape(data.shape)
        return Writes(stripes, data, np.ones(data.shape, np.bool_))
    token = first_token(instruction, config, state.registers) + np.arange(instruction.rows)
    if mode == StoreMode.SCALE:
        words = state.read_words(instruction.source + np.arange(instruction.rows), "ST.source")
        first = token * VECTOR_ELEMENT_BYTES % config.stripe_bytes
        _scatter(data, strobes, first, words.view(np.uint8).reshape(-1, VECTOR_ELEMENT_BYTES))
        return Writes(stripes, data, strobes)
    values = _activation_rows(instruction, state)
    if mode == StoreMode.KEY:
        byte = np.asarray(place(config, token % config.tile_columns)) % config.stripe_bytes
        _scatter(data, strobes, np.repeat(byte, instruction.length), values.reshape(-1, config.chain_length))
        return Writes(stripes, data, strobes)
    # One byte of every column: byte place(c) + lane of the step, whose stripes are written one after another.
    shape = (instruction.rows, instruction.length, config.macs)
    where = np.asarray(place(config, np.arange(config.tile_columns))) + (token % config.chain_length)[:, None]
    index = np.broadcast_to(where[:, None, :], (*shape[:2], config.tile_columns))
    np.put_along_axis(data.reshape(shape), index, values.reshape(*shape[:2], config.tile_columns), axis=2)
    np.put_along_axis(strobes.reshape(shape), index, True, axis=2)
    return Writes(stripes, data, strobes)


def _activation_rows(instruction: Store, state: CoreState) -> Bytes:
    """The bytes [rows, row bytes] that KEY and VALUE store."""
    count = _row_bytes(instruction, state.config)
    rows = [
        state.read_activation(instruction.row + row, instruction.source, instruction.source_stride, count, "ST.source")
        for row in range(instruction.rows)
    ]
    return np.stack(rows).view(np.uint8)


def _scatter(data: Bytes, strobes: NDArray[np.bool_], first: NDArray[np.intp], values: Bytes) -> None:
    """Put `values` [n, width] at byte `first` [n] of each stripe."""
    where = first[:, None] + np.arange(values.shape[1])
    np.put_along_axis(data, where, values, axis=1)
    np.put_along_axis(strobes, where, True, axis=1)
