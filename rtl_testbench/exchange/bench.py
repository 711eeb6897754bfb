"""cocotb tests of cosyn_exchange."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import System, SystemOperation
from cosyn.rtl_testbench.models.axi_memory import number
from cosyn.rtl_testbench.runner import bench_config

TURN = 5
"""Cycles of a core's turn besides its lines; 2 when it has none."""


@dataclass
class Bench:
    """Every core comes with its instructions after random delays; vector buffers are numpy arrays."""

    dut: Any
    source: random.Random
    meetings: list[list[System]]
    """[meeting][core]."""
    most_delay: int = 12

    async def start(self) -> None:
        """Reset; every vector buffer filled at random."""
        dut, config = self.dut, bench_config()
        self.config = config
        Clock(dut.clk_i, 10, unit="ns").start()
        dut.rst_i.value = 1
        for name in (
            "valid",
            "operation",
            "base",
            "rows",
            "stride",
            "lines",
            "rd_gnt",
            "rd_valid",
            "rd_data",
            "wr_gnt",
        ):
            getattr(dut, f"{name}_i").value = 0
        # the exchange has the highest priority in every vector buffer: granted at once
        everyone = (1 << config.cores) - 1
        numbers = np.random.default_rng(self.source.randrange(1 << 30))
        self.buffers = numbers.integers(0, 256, (config.cores, config.vector_lines, config.line_bytes)).astype(np.uint8)
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value, dut.rd_gnt_i.value, dut.wr_gnt_i.value = 0, everyone, everyone
        self.cycle = 0
        self.next = [0] * config.cores
        self.here = 0
        self.came = [0] * config.cores
        self.wait = [self._delay() for _ in range(config.cores)]
        self.done: list[int] = []
        self.together: list[int] = []
        self.error: tuple[int, int, int] | None = None
        self._reads: deque[tuple[int, int, int]] = deque()

    def _delay(self) -> int:
        return self.source.randrange(self.most_delay + 1)

    async def step(self) -> None:
        """One cycle."""
        dut, config = self.dut, self.config
        await RisingEdge(dut.clk_i)
        everyone = (1 << config.cores) - 1
        if self.here == everyone and len(self.together) == len(self.done):
            self.together.append(self.cycle)
        reads, writes = number(dut.rd_req_o, "valid"), number(dut.wr_req_o, "valid")
        for core in range(config.cores):
            if reads >> core & 1:
                self._reads.append((self.cycle + 2, core, number(dut.rd_addr_o, "data")))
            if writes >> core & 1:
                data = number(dut.wr_data_o, "data").to_bytes(config.line_bytes, "little")
                self.buffers[core, number(dut.wr_addr_o, "data")] = np.frombuffer(data, np.uint8)
        done = number(dut.done_o, "valid")
        if done:
            assert done == everyone == self.here, "done while a core is missing"
            self.done.append(self.cycle)
            self.here = 0
            self.next = [index + 1 for index in self.next]
            self.wait = [self._delay() for _ in range(config.cores)]
        if number(dut.error_o, "valid") and self.error is None:
            code, core_number = number(dut.error_code_o, "data"), number(dut.error_core_o, "data")
            self.error = code, core_number, number(dut.error_detail_o, "data")
        self._drive()
        self.cycle += 1

    def _drive(self) -> None:
        dut, config = self.dut, self.config
        for core in range(config.cores):
            if not self.here >> core & 1 and self.next[core] < len(self.meetings):
                if self.wait[core] == 0:
                    self.here |= 1 << core
                self.wait[core] -= 1
        dut.valid_i.value = self.here
        widths = {"operation": 3, "base": 20, "rows": 10, "stride": 20, "lines": 16}
        for name, width in widths.items():
            field = "row_stride" if name == "stride" else name
            value = 0
            for core in range(config.cores):
                if self.here >> core & 1:
                    value |= int(getattr(self.meetings[self.next[core]][core], field)) << width * core
            getattr(dut, f"{name}_i").value = value
        valid = data = 0
        if self._reads and self._reads[0][0] == self.cycle + 1:
            _, core, line = self._reads.popleft()
            valid = 1 << core
            data = int.from_bytes(self.buffers[core, line].tobytes(), "little") << 8 * config.line_bytes * core
        dut.rd_valid_i.value = valid
        if valid:
            dut.rd_data_i.value = data

    async def run(self) -> None:
        """All meetings; then compare buffers and durations."""
        await self.start()
        expected = self.buffers.copy()
        spent = []
        for meeting in self.meetings:
            spent.append(1)
            if meeting[0].operation == SystemOperation.EXCHANGE and len(meeting) > 1:
                for core, item in enumerate(meeting):
                    count = item.rows * item.lines
                    spent[-1] += count + TURN if count else 2
                    for row in range(item.rows):
                        first = item.base + row * item.row_stride
                        expected[:, first : first + item.lines] = expected[core, first : first + item.lines]
        while len(self.done) < len(self.meetings):
            await self.step()
            assert self.error is None
            assert self.cycle < 20_000
        for _ in range(6):
            await self.step()
        found = [done - begin for begin, done in zip(self.together, self.done, strict=True)]
        assert found == spent, f"cycles of the meetings: {found} instead of {spent}"
        wrong = np.argwhere((self.buffers != expected).any(axis=2))
        assert not len(wrong), f"core {wrong[0][0]}, line {wrong[0][1]} differs, and {len(wrong) - 1} more"


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


def _meeting(source: random.Random) -> list[System]:
    config = bench_config()
    if source.random() < 0.3:
        return [System(operation=SystemOperation.BARRIER) for _ in range(config.cores)]
    out = []
    for _ in range(config.cores):
        rows, lines, stride = source.choice([0, 1, 1, 2, 5]), source.choice([0, 1, 2, 9]), source.randrange(40)
        base = source.randrange(config.vector_lines - rows * stride - lines)
        out.append(System(operation=SystemOperation.EXCHANGE, base=base, rows=rows, row_stride=stride, lines=lines))
    return out


@cocotb.test
async def barriers(dut: Any) -> None:
    cores = bench_config().cores
    await Bench(dut, _seed(), [[System(operation=SystemOperation.BARRIER)] * cores] * 5).run()


@cocotb.test
async def slices(dut: Any) -> None:
    """Each core gives its part of two vectors; afterwards all have all of both."""
    cores, part, stride = bench_config().cores, 7, 100
    item = System(operation=SystemOperation.EXCHANGE, rows=2, row_stride=stride, lines=part)
    await Bench(dut, _seed(), [[replace(item, base=30 + core * part) for core in range(cores)]] * 2).run()


@cocotb.test
async def random_meetings(dut: Any) -> None:
    source = _seed()
    await Bench(dut, source, [_meeting(source) for _ in range(40)]).run()


@cocotb.test
async def random_meetings_without_delay(dut: Any) -> None:
    source = _seed()
    await Bench(dut, source, [_meeting(source) for _ in range(40)], most_delay=0).run()


async def _error(dut: Any, meeting: list[System]) -> tuple[int, int, int]:
    bench = Bench(dut, _seed(), [meeting])
    await bench.start()
    while bench.error is None:
        await bench.step()
        assert bench.cycle < 500, "no error was reported"
    for _ in range(50):
        await bench.step()
    assert not bench.done
    return bench.error


@cocotb.test
async def different_operations(dut: Any) -> None:
    cores = bench_config().cores
    if cores == 1:
        return
    meeting = [System(operation=SystemOperation.BARRIER) for _ in range(cores)]
    meeting[cores - 1] = System(operation=SystemOperation.EXCHANGE, rows=1, lines=1)
    assert await _error(dut, meeting) == (ErrorCode.EXCHANGE, cores - 1, SystemOperation.EXCHANGE)


@cocotb.test
async def beyond_the_vector_buffer(dut: Any) -> None:
    config = bench_config()
    if config.cores == 1:
        return
    item = System(operation=SystemOperation.EXCHANGE, rows=1, lines=3)
    meeting = [replace(item, base=config.vector_lines - 2 if core == 1 else 0) for core in range(config.cores)]
    assert await _error(dut, meeting) == (ErrorCode.ADDRESS_RANGE, 1, config.vector_lines)
