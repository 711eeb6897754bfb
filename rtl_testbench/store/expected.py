"""What a store writes, straight from the definitions in isa/st.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Register, Store, StoreMode
from cosyn.rtl_testbench.models.digest import Bytes, step


@dataclass(frozen=True)
class Write:
    """One stripe: the bytes that change, by their place in it."""

    stripe: int
    bytes: dict[int, int]

    def data(self, size: int) -> Bytes:
        """The stripe with zeros where nothing is written."""
        out = np.zeros(size, np.uint8)
        for place, value in self.bytes.items():
            out[place] = value
        return out


@dataclass
class Buffers:
    """The buffers that stores read: vector lines, and activation banks of lines."""

    config: AcceleratorConfig
    vectors: Bytes
    """uint8 [vector_lines, line_bytes]."""
    activations: Bytes
    """uint8 [token_group, activation_lines, activation_line_bytes]."""

    def row(self, store: Store, row: int) -> Bytes:
        """The bytes of an activation row from its first line on."""
        group, bank = divmod(row, self.config.token_group)
        return self.activations[bank, store.source + group * store.source_stride :].reshape(-1)


def place(config: AcceleratorConfig, column: int) -> int:
    """Byte of a tile column in an 8-bit step."""
    return ((column % 2) * config.chains + column // 2) * config.chain_length


def writes(config: AcceleratorConfig, store: Store, registers: list[int], buffers: Buffers) -> Iterator[Write]:
    """The writes of `store` in the order of the unit."""
    base = store.address + (registers[store.address_reg] if store.address_reg else 0)
    for row in range(store.rows):
        if store.mode == StoreMode.LINES:
            yield from _lines(config, store, base + row * store.row_stride, row, buffers)
        elif store.mode == StoreMode.KEY:
            tile, column = divmod(registers[Register.KEY_COLUMN] + row, config.tile_columns)
            first = base + (registers[Register.KEY_TILE] + tile) * store.row_stride
            data = buffers.row(store, store.row + row)
            for number in range(store.length):
                part = data[number * config.chain_length : (number + 1) * config.chain_length]
                at = number * config.macs + place(config, column)
                yield _write(config, first, {at + i: int(value) for i, value in enumerate(part)})
        elif store.mode == StoreMode.VALUE:
            step_, lane = divmod(registers[Register.VALUE_LANE] + row, config.chain_length)
            data = buffers.row(store, store.row + row)
            for tile in range(store.length):
                part = data[tile * config.tile_columns : (tile + 1) * config.tile_columns]
                at = (registers[Register.VALUE_STEP] + step_) * config.macs + lane
                found = {at + place(config, column): int(value) for column, value in enumerate(part)}
                yield from _split(config, base + tile * store.row_stride, found)
        else:
            line, lane = divmod(store.source + row, config.lanes)
            word = registers[Register.SCALE_WORD] + row
            part = buffers.vectors[line, 4 * lane : 4 * lane + 4]
            first = base + registers[Register.SCALE_STRIPE]
            yield _write(config, first, {4 * word + i: int(value) for i, value in enumerate(part)})


def _lines(config: AcceleratorConfig, store: Store, first: int, row: int, buffers: Buffers) -> Iterator[Write]:
    line = store.source + row * store.source_stride
    for number in range(store.length):
        part = buffers.vectors[line + number * config.stripe_lines :][: config.stripe_lines].reshape(-1)
        yield Write(first + number, {i: int(value) for i, value in enumerate(part)})


def _split(config: AcceleratorConfig, first: int, found: dict[int, int]) -> Iterator[Write]:
    stripes = sorted({at // config.stripe_bytes for at in found})
    for stripe in stripes:
        inside = {at % config.stripe_bytes: v for at, v in found.items() if at // config.stripe_bytes == stripe}
        yield Write(first + stripe, inside)


def _write(config: AcceleratorConfig, first: int, found: dict[int, int]) -> Write:
    (write,) = _split(config, first, found)
    return write


def digest(config: AcceleratorConfig, found: list[Write]) -> int:
    """The digest of those writes."""
    value = 0
    for write in found:
        value = step(value, write.data(config.stripe_bytes), write.stripe)
    return value
