"""cocotb tests of cosyn_fifo and cosyn_fifo_ram."""

from __future__ import annotations

import os
import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.rtl_testbench.models.pauses import Pause, never, sometimes

WIDTH, DEPTH, LATENCY = (int(os.environ[f"FIFO_{name}"]) for name in ("WIDTH", "DEPTH", "LATENCY"))
CAPACITY = DEPTH + LATENCY - 1
"""The block memory's output register holds one more."""


class Bench:
    """Pushes random words and compares what comes out with a deque."""

    def __init__(self, dut: Any, source: random.Random, idle: Pause, slow: Pause) -> None:
        self.dut, self.source, self.idle, self.slow = dut, source, idle, slow
        self.held: deque[int] = deque()
        self.pushed: list[int] = []
        """Cycles of the pushes."""
        self.popped: list[int] = []
        self.cycle = self.most = 0
        self._valid = self._ready = self._data = 0

    async def start(self) -> None:
        """Reset."""
        Clock(self.dut.clk_i, 10, unit="ns").start()
        self.dut.rst_i.value, self.dut.valid_i.value, self.dut.ready_i.value, self.dut.data_i.value = 1, 0, 0, 0
        await RisingEdge(self.dut.clk_i)
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        await RisingEdge(dut.clk_i)
        assert dut.count_o.value.to_unsigned() == len(self.held)
        pop, push = self._ready and int(dut.valid_o.value), self._valid and int(dut.ready_o.value)
        if int(dut.valid_o.value):
            assert self.held
            assert dut.data_o.value.to_unsigned() == self.held[0]
        if pop:
            self.held.popleft()
            self.popped.append(self.cycle)
        if push:
            self.held.append(self._data)
            self.pushed.append(self.cycle)
        if push or not self._valid:
            self._valid = int(not self.idle())
            self._data = self.source.getrandbits(WIDTH)
        self._ready = int(not self.slow())
        dut.valid_i.value, dut.data_i.value, dut.ready_i.value = self._valid, self._data, self._ready
        self.most = max(self.most, len(self.held))
        self.cycle += 1


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


@cocotb.test
async def fills_and_empties(dut: Any) -> None:
    """It takes exactly its capacity, then gives everything back in order."""
    stuck = True
    bench = Bench(dut, _seed(), lambda: not stuck, lambda: stuck)
    await bench.start()
    for _ in range(CAPACITY + 5):
        await bench.step()
    assert len(bench.held) == CAPACITY
    assert not dut.ready_o.value
    stuck = False
    for _ in range(CAPACITY + 5):
        await bench.step()
    assert not bench.held
    assert not dut.valid_o.value


@cocotb.test
async def latency(dut: Any) -> None:
    """A word is at the output after the promised cycles."""
    bench = Bench(dut, _seed(), lambda: bool(bench.pushed) or bench._valid == 1, never)
    await bench.start()
    for _ in range(LATENCY + 5):
        await bench.step()
    assert bench.popped[0] - bench.pushed[0] == LATENCY


@cocotb.test
async def a_word_every_cycle(dut: Any) -> None:
    """A deep enough FIFO streams without a gap."""
    bench = Bench(dut, _seed(), never, never)
    await bench.start()
    for _ in range(200):
        await bench.step()
    if CAPACITY > 1:
        assert bench.popped[-1] - bench.popped[0] + 1 == len(bench.popped) >= 190


async def _random(dut: Any, idle: float, slow: float) -> None:
    source = _seed()
    bench = Bench(dut, source, sometimes(source, idle), sometimes(source, slow))
    await bench.start()
    for _ in range(3000):
        await bench.step()
    assert len(bench.popped) > 100
    if slow > idle:
        assert bench.most == CAPACITY, "it was never full"


@cocotb.test
async def idle_source(dut: Any) -> None:
    await _random(dut, 0.6, 0.1)


@cocotb.test
async def slow_sink(dut: Any) -> None:
    await _random(dut, 0.1, 0.7)


@cocotb.test
async def both(dut: Any) -> None:
    await _random(dut, 0.4, 0.4)


@cocotb.test
async def reset_empties(dut: Any) -> None:
    """After a reset nothing of before comes out."""
    source = _seed()
    bench = Bench(dut, source, never, lambda: True)
    await bench.start()
    for _ in range(CAPACITY + 3):
        await bench.step()
    dut.rst_i.value, dut.valid_i.value = 1, 0
    await RisingEdge(dut.clk_i)
    await RisingEdge(dut.clk_i)
    assert not dut.valid_o.value
    assert dut.ready_o.value
    assert dut.count_o.value.to_unsigned() == 0
