"""cocotb tests of cosyn_load."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.config import BANK_REGISTERS, REGISTERS
from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import Load, LoadTarget
from cosyn.rtl_testbench.models.axi_memory import ReadMemory
from cosyn.rtl_testbench.models.digest import Bytes, step
from cosyn.rtl_testbench.models.faults import check_failure
from cosyn.rtl_testbench.models.pauses import Pause, never, sometimes
from cosyn.rtl_testbench.runner import bench_config

STRIPES = 4096

IN_FLIGHT = 16
"""What the queue lets the unit hold at once."""


def _stripes_of(load: Load, registers: list[int]) -> list[list[int]]:
    """Stripe numbers of every run, as the instruction defines them."""
    bank = load.bank * BANK_REGISTERS
    base = load.address + (registers[bank + load.address_reg] if load.address_reg else 0)
    length = load.length * (registers[bank + load.length_reg] if load.length_reg else 1)
    return [[base + row * load.row_stride + i for i in range(length)] for row in range(load.rows)]


@dataclass
class Bench:
    """A load unit between a memory, two rings and a vector buffer."""

    dut: Any
    source: random.Random
    loads: list[Load]
    memory_idle: Pause = never
    memory_slow: Pause = never
    ring_slow: tuple[Pause, Pause] = (never, never)
    vector_slow: Pause = never
    gaps: Pause = never
    latency: int = 10
    registers: list[int] = field(default_factory=lambda: [0] * REGISTERS)
    fail: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.config = bench_config()
        self.rings: list[tuple[int, Bytes]] = []
        self.ring_cycles: list[int] = []
        self.lines: list[tuple[int, Bytes]] = []
        self.line_cycles: list[int] = []
        self.done: list[tuple[int, int]] = []
        """Cycle and digest of every retirement."""
        self.seen: list[tuple[int, int]] = []
        """Ring stripes and vector lines written when each instruction retired."""
        self.accepted: list[int] = []
        self.error: tuple[int, int] | None = None
        self.cycle = 0
        self.full_cycles = 0

    async def start(self) -> None:
        """Reset, and the memory filled at random."""
        dut, config = self.dut, self.config
        Clock(dut.clk_i, 10, unit="ns").start()
        values = np.random.default_rng(self.source.randrange(1 << 30)).integers(0, 256, (STRIPES, config.stripe_bytes))
        self.stripes = values.astype(np.uint8)
        dut.rst_i.value, dut.halt_i.value, dut.ld_valid_i.value, dut.ld_inst_i.value = 1, 0, 0, 0
        dut.ring_ready_i.value, dut.vw_gnt_i.value = 0, 0
        dut.registers_i.value = sum(value << 32 * i for i, value in enumerate(self.registers))
        self.memory = ReadMemory(
            dut, config.channels_per_core, config.channel_bytes, self.stripes, self.latency,
            self.memory_idle, self.memory_slow, self.fail,
        )  # fmt: skip
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        self._ring_ready = self._grant = self._offered = 0
        self._queue = deque(self.loads)

    async def step(self) -> None:
        """One cycle: take what moved at the edge, then drive the next."""
        dut, config = self.dut, self.config
        await RisingEdge(dut.clk_i)
        if self._offered and dut.ld_ready_o.value:
            self._queue.popleft()
            self.accepted.append(self.cycle)
            self._offered = 0
        if dut.ring_valid_o.value:
            ring = int(dut.ring_select_o.value)
            if self._ring_ready >> ring & 1:
                self.rings.append((ring, _bytes(dut.ring_data_o, config.stripe_bytes)))
                self.ring_cycles.append(self.cycle)
        self.full_cycles += int(dut.ring_full_o.value)
        if dut.vw_req_o.value and self._grant:
            self.line_cycles.append(self.cycle)
            self.lines.append((dut.vw_addr_o.value.to_unsigned(), _bytes(dut.vw_data_o, config.line_bytes)))
        if dut.ld_done_o.value:
            self.done.append((self.cycle, dut.ld_digest_o.value.to_unsigned()))
            self.seen.append((len(self.rings), len(self.lines)))
        if dut.error_o.value and self.error is None:
            self.error = dut.error_code_o.value.to_unsigned(), dut.error_detail_o.value.to_unsigned()
        self.memory.cycle()
        self._ring_ready = sum(1 << i for i in range(2) if not self.ring_slow[i]())
        dut.ring_ready_i.value = self._ring_ready
        # the vector buffer grants only what is asked for, in the same cycle: a grant without a request does nothing
        self._grant = int(not self.vector_slow())
        dut.vw_gnt_i.value = self._grant
        room = len(self.accepted) - len(self.done) < IN_FLIGHT
        if not self._offered and self._queue and room and not self.gaps():
            dut.ld_inst_i.value = int.from_bytes(self._queue[0].encode(), "little")
            self._offered = 1
        dut.ld_valid_i.value = self._offered
        self.cycle += 1

    async def run(self, limit: int = 20_000) -> None:
        """Until every instruction has retired."""
        await self.start()
        while len(self.done) < len(self.loads):
            await self.step()
            assert self.error is None, f"error {self.error}"
            assert self.cycle < limit, f"{len(self.done)} of {len(self.loads)} retired after {limit} cycles"
        for _ in range(5):
            await self.step()
        assert len(self.done) == len(self.loads)
        assert self.dut.idle_o.value
        self.check()

    def check(self) -> None:
        """Every ring stripe, vector line, digest and retirement against the instructions."""
        rings: list[tuple[int, Bytes]] = []
        lines: list[tuple[int, Bytes]] = []
        width = self.config.line_bytes
        for index, load in enumerate(self.loads):
            digest = 0
            for row, run in enumerate(_stripes_of(load, self.registers)):
                for place, stripe in enumerate(run):
                    data = self.stripes[stripe]
                    digest = step(digest, data)
                    if load.target == LoadTarget.VECTOR:
                        first = load.vector_line + row * load.vector_stride + place * self.config.stripe_lines
                        parts = (data[i * width : (i + 1) * width] for i in range(self.config.stripe_lines))
                        lines += [(first + i, part) for i, part in enumerate(parts)]
                    else:
                        rings.append((int(load.target == LoadTarget.KV), data))
            assert self.done[index][1] == digest, f"digest of {load.assembly()}"
            ring, line = self.seen[index]
            early = f"{load.assembly()} retired before its data arrived"
            assert ring >= len(rings), early
            assert line >= len(lines), early
        for name, found, expected in (("ring", self.rings, rings), ("vector buffer", self.lines, lines)):
            assert len(found) == len(expected), f"{name}: {len(found)} writes instead of {len(expected)}"
            for place, (a, b) in enumerate(zip(found, expected, strict=True)):
                same = a[0] == b[0] and (a[1] == b[1]).all()
                assert same, f"{name}: write {place} differs: {a} instead of {b}"


def _bytes(handle: Any, size: int) -> Bytes:
    return np.frombuffer(handle.value.to_unsigned().to_bytes(size, "little"), np.uint8)


def _random_load(source: random.Random, most: int) -> Load:
    config = bench_config()
    target = source.choice(list(LoadTarget))
    rows, length = source.choice([1, 1, 2, 3, 5]), source.choice([0, 1, 2, 3, source.randrange(most)])
    stride = source.choice([length, length + source.randrange(7), 0])
    span = config.vector_lines - length * config.stripe_lines
    vector_stride = source.randrange(max(1, min(span // rows, 300)))
    return Load(
        target=target,
        address=source.randrange(STRIPES - rows * (stride + length) - length),
        length=length,
        rows=rows,
        row_stride=stride,
        vector_line=source.randrange(span - rows * vector_stride + 1),
        vector_stride=vector_stride,
    )


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


@cocotb.test
async def each_target(dut: Any) -> None:
    """One instruction per target, across a burst boundary."""
    loads = [Load(target=target, address=13, length=21, vector_line=40) for target in LoadTarget]
    await Bench(dut, _seed(), loads).run()


@cocotb.test
async def rows_strides_and_registers(dut: Any) -> None:
    """Runs apart in memory and vector buffer; a register added to the address, one that multiplies the length."""
    registers = [0, 5, 3, 0] + [0] * 11 + [7] + list(range(2, 2 + REGISTERS - BANK_REGISTERS))
    loads = [
        Load(target=LoadTarget.VECTOR, address=100, length=2, rows=4, row_stride=9, vector_line=11, vector_stride=30),
        Load(target=LoadTarget.WEIGHTS, address=40, address_reg=15, length=5, length_reg=2, rows=2, row_stride=64),
        Load(target=LoadTarget.KV, address=40, address_reg=1, length=5, length_reg=3),
        *(
            Load(target=LoadTarget.KV, address=60, address_reg=8, length=3, length_reg=4, bank=bank)
            for bank in (1, 2, 3)
        ),
        Load(target=LoadTarget.KV, address=90, length=1, rows=0),
        Load(target=LoadTarget.VECTOR, address=90, length=0, rows=3),
        Load(target=LoadTarget.VECTOR, address=7, length=1, vector_line=0),
    ]
    await Bench(dut, _seed(), loads, registers=registers).run()


@cocotb.test
async def a_checked_stream(dut: Any) -> None:
    """The right checksum passes."""
    bench = Bench(dut, _seed(), [])
    await bench.start()
    digest = 0
    for stripe in range(30, 50):
        digest = step(digest, bench.stripes[stripe])
    load = Load(target=LoadTarget.WEIGHTS, address=30, length=20, checked=1, checksum=digest)
    bench.loads.append(load)
    bench._queue.append(load)
    while not bench.done:
        await bench.step()
        assert bench.error is None
        assert bench.cycle < 500
    bench.check()


async def _random(dut: Any, **pauses: Any) -> None:
    source = _seed()
    most = 3 * bench_config().burst_beats
    await Bench(dut, source, [_random_load(source, most) for _ in range(40)], **pauses).run(60_000)


@cocotb.test
async def random_free(dut: Any) -> None:
    await _random(dut)


@cocotb.test
async def random_idle_memory(dut: Any) -> None:
    await _random(
        dut, memory_idle=sometimes(_seed(), 0.4), memory_slow=sometimes(_seed(), 0.5), gaps=sometimes(_seed(), 0.3)
    )


@cocotb.test
async def random_slow_sinks(dut: Any) -> None:
    source = _seed()
    slow = sometimes(source, 0.6), sometimes(source, 0.5)
    await _random(dut, ring_slow=slow, vector_slow=sometimes(source, 0.5))


@cocotb.test
async def random_everything(dut: Any) -> None:
    source = _seed()
    slow = sometimes(source, 0.4), sometimes(source, 0.4)
    pauses = {"memory_idle": sometimes(source, 0.2), "memory_slow": sometimes(source, 0.2)}
    await _random(dut, ring_slow=slow, vector_slow=sometimes(source, 0.4), gaps=sometimes(source, 0.2), **pauses)


@cocotb.test
async def a_stripe_every_cycle(dut: Any) -> None:
    """The stream does not pause between instructions, while latency fits into what may be outstanding."""
    config = bench_config()
    length = 4 * config.burst_beats
    loads = [Load(target=LoadTarget.WEIGHTS, address=i * length, length=length) for i in range(6)]
    bench = Bench(dut, _seed(), loads, latency=config.outstanding_bursts * config.burst_beats // 2)
    await bench.run()
    total = len(loads) * length
    spent = bench.ring_cycles[-1] - bench.ring_cycles[0] + 1
    assert spent == total, f"{total} stripes took {spent} cycles"


@cocotb.test
async def first_stripe_latency(dut: Any) -> None:
    """Accept to AR, R to ring and retirement, as the README promises."""
    bench = Bench(dut, _seed(), [Load(target=LoadTarget.WEIGHTS, address=0, length=1)], latency=20)
    await bench.run()
    request = bench.memory.requests[0][0]
    assert request - bench.accepted[0] == 4, "accept to AR"
    # the model's R handshake comes latency + 1 cycles after the AR handshake
    assert bench.ring_cycles[0] - (request + 21) == 3, "R to ring"
    assert bench.done[0][0] - bench.ring_cycles[0] == 2, "ring to retirement"


@cocotb.test
async def parameter_latency(dut: Any) -> None:
    """Stripe to lines to retirement, and an instruction that loads nothing, as the README promises."""
    config = bench_config()
    loads = [Load(target=LoadTarget.VECTOR, address=0, length=2, vector_line=4), Load(target=LoadTarget.KV, length=0)]
    bench = Bench(dut, _seed(), loads, latency=20)
    await bench.run()
    arrived = bench.memory.requests[0][0] + 21
    assert bench.line_cycles[0] - arrived == 5, "R to the first line"
    assert bench.line_cycles[-1] - bench.line_cycles[0] == 2 * config.stripe_lines - 1, "a line a cycle"
    assert bench.done[0][0] - bench.line_cycles[-1] == 1, "last line to retirement"
    assert bench.done[1][0] - bench.done[0][0] == 1
    alone = Bench(dut, _seed(), [Load(target=LoadTarget.KV, length=0)])
    await alone.run()
    assert alone.done[0][0] - alone.accepted[0] == 5, "nothing to load"


@cocotb.test
async def weights_stream_behind_parameters(dut: Any) -> None:
    """Parameters that wait for the vector buffer do not hold up the weights behind them."""
    config = bench_config()
    held = True
    loads = [
        Load(target=LoadTarget.VECTOR, address=0, length=config.parameter_fifo_stripes, vector_line=0),
        Load(target=LoadTarget.WEIGHTS, address=500, length=50),
    ]
    bench = Bench(dut, _seed(), loads, vector_slow=lambda: held)
    await bench.start()
    for _ in range(400):
        await bench.step()
    assert len(bench.rings) == 50
    assert not bench.lines
    assert not bench.done
    held = False
    while len(bench.done) < 2:
        await bench.step()
        assert bench.cycle < 2000
    bench.check()


@cocotb.test
async def parameters_pass_before_a_full_ring(dut: Any) -> None:
    """A ring that never takes anything holds up what follows, not what came before; requests still run ahead."""
    config = bench_config()
    loads = [
        Load(target=LoadTarget.VECTOR, address=0, length=3, vector_line=0),
        Load(target=LoadTarget.WEIGHTS, address=0, length=100 * config.burst_beats),
    ]
    bench = Bench(dut, _seed(), loads, ring_slow=(lambda: True, never))
    await bench.start()
    for _ in range(600):
        await bench.step()
    assert len(bench.done) == 1
    assert not bench.rings
    assert bench.full_cycles > 400
    beats = sum(length for _, _, length in bench.memory.requests)
    assert beats >= config.outstanding_bursts * config.burst_beats, "requests do not run ahead"
    assert bench.memory.open == 0, "the memory is left with unanswered requests"


@cocotb.test
async def wrong_checksum(dut: Any) -> None:
    loads = [
        Load(target=LoadTarget.KV, address=3, length=2),
        Load(target=LoadTarget.WEIGHTS, address=30, length=20, checked=1, checksum=12345),
    ]
    await check_failure(Bench(dut, _seed(), loads), ErrorCode.CHECKSUM, 1)


@cocotb.test
async def a_read_error(dut: Any) -> None:
    bench = Bench(dut, _seed(), [Load(target=LoadTarget.WEIGHTS, address=30, length=20)], fail={40})
    assert await check_failure(bench, ErrorCode.AXI_READ, 0) == 0


@cocotb.test
async def beyond_the_vector_buffer(dut: Any) -> None:
    lines = bench_config().vector_lines
    load = Load(target=LoadTarget.VECTOR, address=30, length=2, vector_line=lines - bench_config().stripe_lines)
    assert await check_failure(Bench(dut, _seed(), [load]), ErrorCode.ADDRESS_RANGE, 0) == lines


@cocotb.test
async def a_length_beyond_its_field(dut: Any) -> None:
    good = Load(target=LoadTarget.WEIGHTS, address=3, length=2)
    load = replace(good, length=1 << 20, length_reg=2)
    bench = Bench(dut, _seed(), [good, load], registers=[0, 0, 1 << 10] + [0] * 13)
    await check_failure(bench, ErrorCode.ADDRESS_RANGE, 0)
