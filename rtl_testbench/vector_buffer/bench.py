"""cocotb tests of cosyn_vector_buffer against a cycle model of its arbitration."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from cosyn.rtl_testbench.runner import bench_config

ICARUS = cocotb.SIM_NAME.lower().startswith("icarus")
READERS, WRITERS = 3, 4
WORD = (1 << 32) - 1


@dataclass
class Request:
    """What a requester holds until it is granted."""

    address: int
    data: int = 0
    mask: int = 0


@dataclass
class Model:
    """Memory, what is in flight, and the requests of the cycle."""

    lanes: int
    memory: dict[int, int] = field(default_factory=dict)
    late_write: Request | None = None
    reads: list[tuple[int, int] | None] = field(default_factory=lambda: [None, None])
    """(requester, expected data) granted one and two cycles ago."""
    port0: list[int | None] = field(default_factory=lambda: [None, None])

    def write(self, request: Request) -> None:
        """Change the lanes of the mask."""
        line = self.memory.get(request.address, 0)
        for lane in range(self.lanes):
            if request.mask >> lane & 1:
                line = line & ~(WORD << 32 * lane) | request.data & WORD << 32 * lane
        self.memory[request.address] = line


class Bench:
    """Drives all requesters and compares every grant and every word."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        config = bench_config()
        self.address_bits = (config.vector_lines - 1).bit_length()
        self.model = Model(config.lanes)
        self.readers: list[Request | None] = [None] * READERS
        self.writers: list[Request | None] = [None] * WRITERS
        self.met: set[str] = set()

    async def start(self, lines: range) -> None:
        """Reset, and write `lines`, so that no word is unknown."""
        dut = self.dut
        dut.rst_i.value, dut.r0_en_i.value, dut.r0_addr_i.value = 1, 0, 0
        self._drive()
        Clock(dut.clk_i, 10, unit="ns").start()
        await FallingEdge(dut.clk_i)
        await FallingEdge(dut.clk_i)
        dut.rst_i.value = 0
        for line in lines:
            data = int.from_bytes(random_module.Random(line).randbytes(4 * self.model.lanes), "little")
            self.writers[line % WRITERS] = Request(line, data, (1 << self.model.lanes) - 1)
            await self.cycle(None)
        # The last line is not in memory yet in the cycle after its grant.
        await self.cycle(None)

    def _drive(self) -> None:
        dut, lanes = self.dut, self.model.lanes
        dut.rd_req_i.value = sum(1 << i for i, request in enumerate(self.readers) if request)
        dut.rd_addr_i.value = sum(r.address << i * self.address_bits for i, r in enumerate(self.readers) if r)
        dut.wr_req_i.value = sum(1 << i for i, request in enumerate(self.writers) if request)
        dut.wr_addr_i.value = sum(w.address << i * self.address_bits for i, w in enumerate(self.writers) if w)
        dut.wr_data_i.value = sum(w.data << i * 32 * lanes for i, w in enumerate(self.writers) if w)
        dut.wr_mask_i.value = sum(w.mask << i * lanes for i, w in enumerate(self.writers) if w)

    async def cycle(self, port0: int | None) -> None:
        """One cycle with the requests that are set and a read of `port0`; granted requests are gone afterwards."""
        dut, model = self.dut, self.model
        dut.r0_en_i.value, dut.r0_addr_i.value = int(port0 is not None), port0 or 0
        self._drive()
        await FallingEdge(dut.clk_i)  # the edge in between has taken what was granted
        reader = next((i for i, request in enumerate(self.readers) if request), None)
        writer = next((i for i, request in enumerate(self.writers) if request), None)
        assert int(dut.rd_gnt_o.value) == (0 if reader is None else 1 << reader)
        assert int(dut.wr_gnt_o.value) == (0 if writer is None else 1 << writer)
        self._cover(reader, writer)
        granted = None
        if reader is not None:
            request = self.readers[reader]
            assert request is not None
            granted = (reader, model.memory[request.address])
            self.readers[reader] = None
        model.reads = [granted, model.reads[0]]
        model.port0 = [None if port0 is None else model.memory[port0], model.port0[0]]
        # A write granted in a cycle is in memory at the end of the next one.
        if model.late_write is not None:
            model.write(model.late_write)
        model.late_write = None
        if writer is not None:
            model.late_write, self.writers[writer] = self.writers[writer], None
        self._compare()

    def _compare(self) -> None:
        dut, model = self.dut, self.model
        answer = model.reads[1]
        assert int(dut.rd_valid_o.value) == (0 if answer is None else 1 << answer[0])
        if answer is not None:
            assert dut.rd_data_o.value.to_unsigned() == answer[1]
        if model.port0[1] is not None:
            assert dut.r0_data_o.value.to_unsigned() == model.port0[1]

    def _cover(self, reader: int | None, writer: int | None) -> None:
        if reader is not None:
            self.met.add(f"read_{reader}_of_{sum(r is not None for r in self.readers)}")
        if writer is not None:
            self.met.add(f"write_{writer}_of_{sum(w is not None for w in self.writers)}")
            request = self.writers[writer]
            assert request is not None
            full = (1 << self.model.lanes) - 1
            self.met.add("mask_" + ("all" if request.mask == full else "none" if not request.mask else "some"))


def _wanted() -> set[str]:
    points = {f"read_{i}_of_{n}" for i in range(READERS) for n in range(1, READERS - i + 1)}
    points |= {f"write_{i}_of_{n}" for i in range(WRITERS) for n in range(1, WRITERS - i + 1)}
    return points | {"mask_all", "mask_none", "mask_some"}


@cocotb.test
async def read_after_write(dut: Any) -> None:
    """A read two cycles after the grant sees the write, on both ports; a cycle earlier it sees the old line."""
    bench = Bench(dut)
    await bench.start(range(4))
    for wait in range(4):
        bench.writers[wait] = Request(2, (wait + 1) * 0x01010101, 1)
        await bench.cycle(None)
        for _ in range(wait):
            await bench.cycle(None)
        bench.readers[2] = Request(2)
        await bench.cycle(2)
        for _ in range(3):
            await bench.cycle(None)


@cocotb.test
async def first_and_last_line(dut: Any) -> None:
    last = bench_config().vector_lines - 1
    bench = Bench(dut)
    await bench.start(range(2))
    for line in (0, last):
        bench.writers[3] = Request(line, line + 77, (1 << bench.model.lanes) - 1)
        await bench.cycle(None)
    for line in (0, last, 0):
        bench.readers[1] = Request(line)
        await bench.cycle(line)
    for _ in range(3):
        await bench.cycle(None)


async def _every_meeting(bench: Bench) -> None:
    """Each requester first among every number of others, and each kind of mask: what random requests may leave out."""
    everything = (1 << bench.model.lanes) - 1
    for first in range(max(READERS, WRITERS)):
        for others in range(max(READERS, WRITERS) - first):
            for requester in range(first, first + others + 1):
                if requester < READERS:
                    bench.readers[requester] = Request(requester)
                if requester < WRITERS:
                    mask = (everything, 1, 0)[requester % 3]
                    bench.writers[requester] = Request(requester + 4, requester * 0x01010101, mask)
            while any(bench.readers) or any(bench.writers):
                await bench.cycle(None)


@cocotb.test
async def random(dut: Any) -> None:
    """All requesters at random, often at the same line; requests stay until they are granted."""
    bench = Bench(dut)
    generator = random_module.Random(cocotb.RANDOM_SEED)
    lines = range(24)
    await bench.start(lines)
    await _every_meeting(bench)
    lanes = bench.model.lanes
    for number in range(1_500 if ICARUS else 20_000):
        busy = (0.1, 0.5, 0.95)[number // 100 % 3]
        for readers in range(READERS):
            if bench.readers[readers] is None and generator.random() < busy:
                bench.readers[readers] = Request(generator.choice(lines))
        for writer in range(WRITERS):
            if bench.writers[writer] is None and generator.random() < busy:
                mask = generator.choice([0, (1 << lanes) - 1, generator.getrandbits(lanes)])
                bench.writers[writer] = Request(generator.choice(lines), generator.getrandbits(32 * lanes), mask)
        await bench.cycle(generator.choice(lines) if generator.random() < 0.7 else None)
    missing = _wanted() - bench.met
    assert not missing, f"coverage: not met: {sorted(missing)}"
