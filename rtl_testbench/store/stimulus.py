"""Random store instructions that are legal, and the registers that they need."""

from __future__ import annotations

import random

from cosyn.accelerator_model.config import REGISTERS
from cosyn.accelerator_model.isa import Register, Store, StoreMode
from cosyn.rtl_testbench.runner import bench_config


def random_registers(source: random.Random) -> list[int]:
    """Runtime registers as a host might have set them: every column, lane and word in its range."""
    config = bench_config()
    out = [0] * REGISTERS
    out[Register.KEY_TILE] = source.randrange(6)
    out[Register.KEY_COLUMN] = source.randrange(config.tile_columns)
    out[Register.VALUE_STEP] = source.randrange(20)
    out[Register.VALUE_LANE] = source.randrange(config.chain_length)
    out[Register.SCALE_STRIPE] = source.randrange(30)
    out[Register.SCALE_WORD] = source.randrange(config.stripe_bytes // 4)
    out[15] = source.randrange(100)
    return out


def store_of(source: random.Random, mode: StoreMode, rows: int, length: int) -> Store:
    """A legal store of that mode."""
    config = bench_config()
    row_lines = source.randrange(4, 9)
    lines = mode in (StoreMode.LINES, StoreMode.SCALE)
    span = {StoreMode.LINES: 3 * length + 4, StoreMode.SCALE: 0}.get(mode, length * 2 * config.ring_reads + 3)
    stride = source.randrange(length, span) if mode == StoreMode.LINES else span
    if mode == StoreMode.SCALE:
        first = source.randrange(config.vector_lines * config.lanes - rows)
    elif lines:
        first = source.randrange(config.vector_lines - length * config.stripe_lines - rows * 12)
    else:
        first = source.randrange(config.activation_lines - 20 * row_lines)
    return Store(
        mode=mode,
        address=source.randrange(500),
        address_reg=source.choice([0, 15]),
        rows=rows,
        row_stride=stride,
        length=length,
        source=first,
        source_stride=source.randrange(12) if lines else row_lines,
        row=0 if lines else source.randrange(4 * config.token_group),
    )


def longest_row(mode: StoreMode) -> int:
    """The largest length that a row of the test's buffers holds."""
    config = bench_config()
    row_bytes = 4 * config.activation_line_bytes
    sizes = {StoreMode.LINES: 3 * config.burst_beats, StoreMode.SCALE: 2}
    return sizes.get(mode, row_bytes // (config.chain_length if mode == StoreMode.KEY else config.tile_columns))


def any_store(source: random.Random) -> Store:
    """A legal store of any mode."""
    mode = source.choice(list(StoreMode))
    rows = source.choice([1, 1, 2, 3, bench_config().token_group + 1])
    return store_of(source, mode, rows, source.randrange(1, longest_row(mode) + 1))
