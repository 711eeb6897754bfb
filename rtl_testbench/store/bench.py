"""cocotb tests of cosyn_store."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cosyn.accelerator_model.config import REGISTERS
from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import Register, Store, StoreMode
from cosyn.rtl_testbench.models.faults import check_failure
from cosyn.rtl_testbench.models.pauses import sometimes
from cosyn.rtl_testbench.runner import bench_config
from cosyn.rtl_testbench.store.driver import Bench
from cosyn.rtl_testbench.store.stimulus import any_store, longest_row, random_registers, store_of
from cosyn.rtl_testbench.store.timing import occupancy, retirement

IN_FLIGHT = 16
"""Instructions that the unit holds."""


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


async def _one_mode(dut: Any, mode: StoreMode) -> None:
    source = _seed()
    stores = [
        store_of(source, mode, rows, max(1, longest_row(mode) // part)) for rows, part in ((1, 1), (3, 2), (1, 99))
    ]
    await Bench(dut, source, stores, random_registers(source)).run()


@cocotb.test
async def lines(dut: Any) -> None:
    await _one_mode(dut, StoreMode.LINES)


@cocotb.test
async def keys(dut: Any) -> None:
    await _one_mode(dut, StoreMode.KEY)


@cocotb.test
async def values(dut: Any) -> None:
    await _one_mode(dut, StoreMode.VALUE)


@cocotb.test
async def scales(dut: Any) -> None:
    await _one_mode(dut, StoreMode.SCALE)


@cocotb.test
async def rows_cross_tiles_steps_and_stripes(dut: Any) -> None:
    """More rows than a tile has columns, a step lanes and a stripe words, from the last place of each."""
    source, config = _seed(), bench_config()
    registers = random_registers(source)
    registers[Register.KEY_COLUMN] = config.tile_columns - 1
    registers[Register.VALUE_LANE] = config.chain_length - 1
    registers[Register.SCALE_WORD] = config.stripe_bytes // 4 - 1
    stores = [store_of(source, mode, config.tile_columns + 2, 2) for mode in StoreMode if mode != StoreMode.LINES]
    stores.append(store_of(source, StoreMode.VALUE, config.chain_length + 2, 3))
    await Bench(dut, source, stores, registers).run()


@cocotb.test
async def nothing_to_do(dut: Any) -> None:
    """No rows, or rows of no length, retire with digest 0."""
    stores = [Store(mode=mode, rows=rows, length=0) for mode in StoreMode for rows in (0, 2) if mode != StoreMode.SCALE]
    await Bench(dut, _seed(), [*stores, Store(mode=StoreMode.SCALE, rows=0)]).run()


def _small(count: int) -> list[Store]:
    """Stores that overlap in memory, of every mode and of nothing."""
    kinds = [
        Store(mode=StoreMode.LINES, address=64, length=1, source=2),
        Store(mode=StoreMode.SCALE, address=64, rows=1, source=7),
        Store(mode=StoreMode.LINES, rows=0),
        Store(mode=StoreMode.KEY, address=64, length=1, source=2),
        Store(mode=StoreMode.VALUE, address=64, length=1, source=5),
    ]
    return [kinds[index % len(kinds)] for index in range(count)]


@cocotb.test
async def many_before_the_first_response(dut: Any) -> None:
    """As many as are allowed, and one that waits, are accepted before the first response; then one retires a cycle."""
    stores = [_small(1)[0], *[Store(mode=StoreMode.LINES, rows=0)] * (3 * IN_FLIGHT)]
    bench = Bench(dut, _seed(), stores, latency=400)
    await bench.run()
    ends = [cycle for cycle, _ in bench.done]
    assert sum(cycle < ends[0] for cycle in bench.accepted) == IN_FLIGHT + 1
    assert ends[:IN_FLIGHT] == list(range(ends[0], ends[0] + IN_FLIGHT))


@cocotb.test
async def back_to_back(dut: Any) -> None:
    """The next instruction is accepted as soon as the README says, with responses out or not."""
    stores, registers, config = _small(15), [0] * REGISTERS, bench_config()
    bench = Bench(dut, _seed(), stores, registers, latency=30)
    await bench.run()
    for store, accepted, following in zip(stores, bench.accepted, bench.accepted[1:], strict=False):
        expected = occupancy(config, store, registers)
        assert following - accepted == expected, f"{store.assembly()}: {following - accepted} instead of {expected}"


@cocotb.test
async def slow_responses(dut: Any) -> None:
    """Channels answer at their own times and late: retirement waits for the last of them."""
    source = _seed()
    stores = _small(20) + [any_store(source) for _ in range(12)] + _small(30)
    slow = sometimes(source, 0.9)
    await Bench(dut, source, stores, random_registers(source), latency=60, memory_idle=slow).run(80_000)


async def _random(dut: Any, **pauses: Any) -> None:
    source = _seed()
    await Bench(dut, source, [any_store(source) for _ in range(30)], random_registers(source), **pauses).run(80_000)


@cocotb.test
async def random_free(dut: Any) -> None:
    await _random(dut)


@cocotb.test
async def random_slow_memory(dut: Any) -> None:
    await _random(dut, memory_slow=sometimes(_seed(), 0.6), memory_idle=sometimes(_seed(), 0.5))


@cocotb.test
async def random_slow_buffers(dut: Any) -> None:
    await _random(dut, grants=sometimes(_seed(), 0.6), gaps=sometimes(_seed(), 0.4))


@cocotb.test
async def random_everything(dut: Any) -> None:
    source = _seed()
    await _random(dut, memory_slow=sometimes(source, 0.4), grants=sometimes(source, 0.4), gaps=sometimes(source, 0.2))


@cocotb.test
async def timing(dut: Any) -> None:
    """Cycles from accept to retirement when nothing is in the way are those of the README's formulas."""
    source, config = _seed(), bench_config()
    registers = [0] * REGISTERS
    registers[Register.KEY_TILE] = 5
    per_line = config.activation_line_bytes // config.chain_length
    stores = [
        Store(mode=StoreMode.LINES, length=length, rows=2, row_stride=300, source_stride=9)
        for length in (1, 2 * config.burst_beats)
    ]
    stores += [
        Store(mode=StoreMode.KEY, length=length, row_stride=50, row=row * config.token_group)
        for length in (1, per_line, per_line + 1)
        for row in (0, 7)
    ]
    tiles = config.activation_line_bytes // config.tile_columns
    stores += [Store(mode=StoreMode.VALUE, length=length, row_stride=50) for length in (1, 3, tiles + 1)]
    stores += [Store(mode=StoreMode.SCALE, rows=rows, source=3) for rows in (1, 2, 7)]
    bench = Bench(dut, source, stores, registers, alone=True)
    await bench.run()
    for store, accepted, (done, _) in zip(stores, bench.accepted, bench.done, strict=True):
        expected = retirement(config, store, registers, bench.writes(store), bench.memory.latency + 1)
        assert done - accepted == expected, f"{store.assembly()}: {done - accepted} cycles instead of {expected}"


@cocotb.test
async def a_write_error(dut: Any) -> None:
    stores = [
        Store(mode=StoreMode.LINES, address=64, length=3),
        Store(mode=StoreMode.LINES, address=128, length=3 * bench_config().burst_beats),
    ]
    await check_failure(Bench(dut, _seed(), stores, fail={128}), ErrorCode.AXI_WRITE, 1)


@cocotb.test
async def the_last_write_fails(dut: Any) -> None:
    """An instruction whose only response is an error does not retire, nor do those behind it; those before it do."""
    stores = [Store(mode=StoreMode.LINES, address=address, length=1) for address in (64, 128, 192, 256)]
    detail = await check_failure(Bench(dut, _seed(), stores, fail={192}, latency=40), ErrorCode.AXI_WRITE, 2)
    assert detail == 0, "the memory fails on channel 0"


@cocotb.test
async def beyond_the_buffers(dut: Any) -> None:
    config = bench_config()
    limits = {
        StoreMode.LINES: (config.vector_lines - 1, config.vector_lines),
        StoreMode.SCALE: (config.vector_lines * config.lanes, config.vector_lines),
        StoreMode.KEY: (config.activation_lines, config.activation_lines),
        StoreMode.VALUE: (config.activation_lines + 3, config.activation_lines + 3),
    }
    for mode, (first, line) in limits.items():
        store = Store(mode=mode, length=2, source=first, source_stride=1)
        assert await check_failure(Bench(dut, _seed(), [store]), ErrorCode.ADDRESS_RANGE, 0) == line


@cocotb.test
async def registers_out_of_range(dut: Any) -> None:
    """A column, lane or word that a host set beyond tile, step or stripe is refused."""
    config = bench_config()
    cases = [
        (StoreMode.KEY, Register.KEY_COLUMN, config.tile_columns),
        (StoreMode.VALUE, Register.VALUE_LANE, config.chain_length),
        (StoreMode.SCALE, Register.SCALE_WORD, config.stripe_bytes // 4),
    ]
    for mode, register, value in cases:
        registers = [0] * REGISTERS
        registers[register] = value
        store = Store(mode=mode, length=1)
        assert await check_failure(Bench(dut, _seed(), [store], registers), ErrorCode.ADDRESS_RANGE, 0) == value
