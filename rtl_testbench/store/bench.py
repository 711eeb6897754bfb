"""cocotb tests of cosyn_store."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import Register, Store, StoreMode
from cosyn.rtl_testbench.models.axi_memory import WriteMemory
from cosyn.rtl_testbench.models.pauses import Pause, never, sometimes
from cosyn.rtl_testbench.runner import bench_config
from cosyn.rtl_testbench.store.expected import Buffers, Write, digest, writes
from cosyn.rtl_testbench.store.timing import occupancy, retirement

STRIPES = 8192
IN_FLIGHT = 16
"""Instructions that the unit holds."""


@dataclass
class Bench:
    """A store unit between two buffers and a memory."""

    dut: Any
    source: random.Random
    stores: list[Store]
    registers: list[int] = field(default_factory=lambda: [0] * 16)
    memory_slow: Pause = never
    memory_idle: Pause = never
    grants: Pause = never
    gaps: Pause = never
    alone: bool = False
    """Offers an instruction only when those before it have retired."""
    latency: int = 3
    """Cycles from the last beat of a burst to its response."""
    fail: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.config = bench_config()
        self.accepted: list[int] = []
        self.done: list[tuple[int, int]] = []
        self.error: tuple[int, int] | None = None
        self.cycle = 0

    async def start(self) -> None:
        """Reset; buffers and memory filled at random."""
        dut, config = self.dut, self.config
        Clock(dut.clk_i, 10, unit="ns").start()
        numbers = np.random.default_rng(self.source.randrange(1 << 30))
        shape = (config.token_group, config.activation_lines, config.activation_line_bytes)
        self.buffers = Buffers(
            config,
            numbers.integers(0, 256, (config.vector_lines, config.line_bytes)).astype(np.uint8),
            numbers.integers(0, 256, shape).astype(np.uint8),
        )
        self.expected = numbers.integers(0, 256, (STRIPES, config.stripe_bytes)).astype(np.uint8)
        dut.rst_i.value, dut.halt_i.value, dut.st_valid_i.value, dut.st_inst_i.value = 1, 0, 0, 0
        dut.vr_gnt_i.value = dut.vr_valid_i.value = dut.vr_data_i.value = 0
        dut.act_gnt_i.value = dut.act_valid_i.value = dut.act_data_i.value = 0
        dut.registers_i.value = sum(value << 32 * i for i, value in enumerate(self.registers))
        self.memory = WriteMemory(
            dut, config.channels_per_core, config.channel_bytes, self.expected.copy(), latency=self.latency,
            idle=self.memory_idle, slow=self.memory_slow, fail=self.fail,
        )  # fmt: skip
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        self._queue = deque(self.stores)
        self._offered = self._grant = 0
        self._vectors: deque[tuple[int, int]] = deque()
        self._activations: deque[tuple[int, int]] = deque()

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        await RisingEdge(dut.clk_i)
        if self._offered and dut.st_ready_o.value:
            self._queue.popleft()
            self.accepted.append(self.cycle)
            self._offered = 0
        if self._grant and dut.vr_req_o.value:
            line = self.buffers.vectors[dut.vr_addr_o.value.to_unsigned()]
            self._vectors.append((self.cycle + 1, int.from_bytes(line.tobytes(), "little")))
        if self._grant and dut.act_req_o.value:
            bank, address = dut.act_bank_o.value.to_unsigned(), dut.act_addr_o.value.to_unsigned()
            line = self.buffers.activations[bank, address]
            delay = self.source.choice([1, 1, 2, 5]) if self.grants is not never else 1
            self._activations.append((self.cycle + delay, int.from_bytes(line.tobytes(), "little")))
        if dut.st_done_o.value:
            self.done.append((self.cycle, dut.st_digest_o.value.to_unsigned()))
        if dut.error_o.value and self.error is None:
            self.error = dut.error_code_o.value.to_unsigned(), dut.error_detail_o.value.to_unsigned()
        self.memory.cycle()
        self._return(self._vectors, dut.vr_valid_i, dut.vr_data_i)
        self._return(self._activations, dut.act_valid_i, dut.act_data_i)
        self._grant = int(not self.grants())
        dut.vr_gnt_i.value = dut.act_gnt_i.value = self._grant
        held = self.alone and len(self.done) < len(self.accepted)
        if not self._offered and self._queue and not held and not self.gaps():
            dut.st_inst_i.value = int.from_bytes(self._queue[0].encode(), "little")
            self._offered = 1
        dut.st_valid_i.value = self._offered
        self.cycle += 1

    def _return(self, pending: deque[tuple[int, int]], valid: Any, data: Any) -> None:
        """Drives the answer that is due: granted in cycle t, there in t + 2 (activations: t + 1 + delay)."""
        due = bool(pending) and pending[0][0] <= self.cycle
        valid.value = int(due)
        if due:
            data.value = pending.popleft()[1]

    async def run(self, limit: int = 40_000) -> None:
        """Until every instruction has retired, and then compare digests and the whole memory."""
        await self.start()
        while len(self.done) < len(self.stores):
            await self.step()
            assert self.error is None, f"error {self.error}"
            assert self.cycle < limit, f"{len(self.done)} of {len(self.stores)} retired after {limit} cycles"
        assert self.dut.idle_o.value
        for store, (_, found) in zip(self.stores, self.done, strict=True):
            expected = self.writes(store)
            assert found == digest(self.config, expected), f"digest of {store.assembly()}"
            for write in expected:
                for at, value in write.bytes.items():
                    self.expected[write.stripe, at] = value
        wrong = np.argwhere(self.expected != self.memory.stripes)
        assert not len(wrong), (
            f"stripe {wrong[0][0]}, byte {wrong[0][1]}: {self.memory.stripes[tuple(wrong[0])]} instead of"
            f" {self.expected[tuple(wrong[0])]}"
        )

    def writes(self, store: Store) -> list[Write]:
        """What `store` should write."""
        return list(writes(self.config, store, self.registers, self.buffers))


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


def _registers(source: random.Random) -> list[int]:
    config = bench_config()
    out = [0] * 16
    out[Register.KEY_TILE] = source.randrange(6)
    out[Register.KEY_COLUMN] = source.randrange(config.tile_columns)
    out[Register.VALUE_STEP] = source.randrange(20)
    out[Register.VALUE_LANE] = source.randrange(config.chain_length)
    out[Register.SCALE_STRIPE] = source.randrange(30)
    out[Register.SCALE_WORD] = source.randrange(config.stripe_bytes // 4)
    out[15] = source.randrange(100)
    return out


def _store(source: random.Random, mode: StoreMode, rows: int, length: int) -> Store:
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


def _most(mode: StoreMode) -> int:
    """The largest length that a row of the test's buffers holds."""
    config = bench_config()
    row_bytes = 4 * config.activation_line_bytes
    sizes = {StoreMode.LINES: 3 * config.burst_beats, StoreMode.SCALE: 2}
    return sizes.get(mode, row_bytes // (config.chain_length if mode == StoreMode.KEY else config.tile_columns))


def _any_store(source: random.Random) -> Store:
    mode = source.choice(list(StoreMode))
    rows = source.choice([1, 1, 2, 3, bench_config().token_group + 1])
    return _store(source, mode, rows, source.randrange(1, _most(mode) + 1))


async def _one_mode(dut: Any, mode: StoreMode) -> None:
    source = _seed()
    stores = [_store(source, mode, rows, max(1, _most(mode) // part)) for rows, part in ((1, 1), (3, 2), (1, 99))]
    await Bench(dut, source, stores, _registers(source)).run()


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
    registers = _registers(source)
    registers[Register.KEY_COLUMN] = config.tile_columns - 1
    registers[Register.VALUE_LANE] = config.chain_length - 1
    registers[Register.SCALE_WORD] = config.stripe_bytes // 4 - 1
    stores = [_store(source, mode, config.tile_columns + 2, 2) for mode in StoreMode if mode != StoreMode.LINES]
    stores.append(_store(source, StoreMode.VALUE, config.chain_length + 2, 3))
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
    stores, registers, config = _small(15), [0] * 16, bench_config()
    bench = Bench(dut, _seed(), stores, registers, latency=30)
    await bench.run()
    for store, accepted, following in zip(stores, bench.accepted, bench.accepted[1:], strict=False):
        expected = occupancy(config, store, registers)
        assert following - accepted == expected, f"{store.assembly()}: {following - accepted} instead of {expected}"


@cocotb.test
async def slow_responses(dut: Any) -> None:
    """Channels answer at their own times and late: retirement waits for the last of them."""
    source = _seed()
    stores = _small(20) + [_any_store(source) for _ in range(12)] + _small(30)
    slow = sometimes(source, 0.9)
    await Bench(dut, source, stores, _registers(source), latency=60, memory_idle=slow).run(80_000)


async def _random(dut: Any, **pauses: Any) -> None:
    source = _seed()
    await Bench(dut, source, [_any_store(source) for _ in range(30)], _registers(source), **pauses).run(80_000)


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
    registers = [0] * 16
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


async def _fails(dut: Any, bench: Bench, code: ErrorCode, retired: int) -> int:
    await bench.start()
    while bench.error is None:
        await bench.step()
        assert bench.cycle < 2000, "no error was reported"
    dut.halt_i.value = 1
    for _ in range(300):
        await bench.step()
    assert bench.error[0] == code
    assert len(bench.done) == retired
    assert dut.idle_o.value, "a write stays open after the halt"
    return bench.error[1]


@cocotb.test
async def a_write_error(dut: Any) -> None:
    stores = [
        Store(mode=StoreMode.LINES, address=64, length=3),
        Store(mode=StoreMode.LINES, address=128, length=3 * bench_config().burst_beats),
    ]
    await _fails(dut, Bench(dut, _seed(), stores, fail={128}), ErrorCode.AXI_WRITE, 1)


@cocotb.test
async def the_last_write_fails(dut: Any) -> None:
    """An instruction whose only response is an error does not retire, nor do those behind it; those before it do."""
    stores = [Store(mode=StoreMode.LINES, address=address, length=1) for address in (64, 128, 192, 256)]
    detail = await _fails(dut, Bench(dut, _seed(), stores, fail={192}, latency=40), ErrorCode.AXI_WRITE, 2)
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
        assert await _fails(dut, Bench(dut, _seed(), [store]), ErrorCode.ADDRESS_RANGE, 0) == line


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
        registers = [0] * 16
        registers[register] = value
        store = Store(mode=mode, length=1)
        assert await _fails(dut, Bench(dut, _seed(), [store], registers), ErrorCode.ADDRESS_RANGE, 0) == value
