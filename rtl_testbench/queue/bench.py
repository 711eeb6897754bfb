"""cocotb tests of cosyn_queue."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.isa import Load
from cosyn.rtl_testbench.models.pauses import Pause, never, sometimes
from cosyn.rtl_testbench.runner import bench_config

IN_FLIGHT = 3


class Bench:
    """A unit that holds up to three instructions and retires them in order."""

    def __init__(self, dut: Any, source: random.Random, count: int, **pauses: Pause) -> None:
        self.dut, self.source = dut, source
        self.idle, self.slow = pauses.get("idle", never), pauses.get("slow", never)
        self.starved, self.busy = pauses.get("starved", never), pauses.get("busy", never)
        self.loads = [
            Load(wait=source.getrandbits(6), release=source.getrandbits(6), address=source.getrandbits(32))
            for _ in range(count)
        ]
        self.pushed = self.issued = self.retired = 0
        self.push_cycles: list[int] = []
        self.issue_cycles: list[int] = []
        self.cycle = self.most_queued = self.waited = 0
        self._valid = self._ready = self._tokens = self._done = 0

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        Clock(dut.clk_i, 10, unit="ns").start()
        dut.rst_i.value = 1
        dut.halt_i.value = dut.valid_i.value = dut.inst_i.value = 0
        dut.tokens_ready_i.value = dut.unit_ready_i.value = dut.unit_done_i.value = 0
        await RisingEdge(dut.clk_i)
        await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        await RisingEdge(dut.clk_i)
        queued = self.pushed - self.issued
        assert bool(dut.queued_o.value) == (queued > 0)
        assert bool(dut.flight_o.value) == (self.issued > self.retired)
        head = self.loads[self.issued].wait if queued else 0
        assert dut.wait_o.value.to_unsigned() == head
        assert bool(dut.waiting_o.value) == bool(queued and not self._tokens)
        self.waited += int(dut.waiting_o.value)
        room = self.issued - self.retired < IN_FLIGHT
        assert bool(dut.unit_valid_o.value) == bool(queued and self._tokens and room)
        if self._done:
            assert dut.release_o.value.to_unsigned() == self.loads[self.retired].release
            self.retired += 1
        if dut.issue_o.value:
            assert self._ready
            expected = int.from_bytes(self.loads[self.issued].encode(), "little")
            assert dut.unit_inst_o.value.to_unsigned() == expected
            self.issued += 1
            self.issue_cycles.append(self.cycle)
        if self._valid and dut.ready_o.value:
            self.pushed += 1
            self.push_cycles.append(self.cycle)
            self._valid = 0
        self.most_queued = max(self.most_queued, self.pushed - self.issued)
        self._valid = int(self._valid or (self.pushed < len(self.loads) and not self.idle()))
        if self._valid:
            dut.inst_i.value = int.from_bytes(self.loads[self.pushed].encode(), "little")
        self._ready, self._tokens = int(not self.slow()), int(not self.starved())
        self._done = int(self.issued > self.retired and not self.busy())
        dut.valid_i.value, dut.unit_ready_i.value = self._valid, self._ready
        dut.tokens_ready_i.value, dut.unit_done_i.value = self._tokens, self._done
        self.cycle += 1

    async def run(self) -> None:
        """Until everything has retired."""
        await self.start()
        while self.retired < len(self.loads):
            await self.step()
            assert self.cycle < 100 * len(self.loads) + 1000


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


@cocotb.test
async def free(dut: Any) -> None:
    """One instruction a cycle, issued in the cycle after its push."""
    bench = Bench(dut, _seed(), 60)
    await bench.run()
    assert [b - a for a, b in zip(bench.push_cycles, bench.issue_cycles, strict=True)] == [1] * 60


@cocotb.test
async def random_pauses(dut: Any) -> None:
    source = _seed()
    shares = {"idle": 0.3, "slow": 0.3, "starved": 0.4, "busy": 0.4}
    bench = Bench(dut, source, 500, **{name: sometimes(source, share) for name, share in shares.items()})
    await bench.run()
    assert bench.most_queued == bench_config().queue_depth, "the queue was never full"
    assert bench.waited > 50


@cocotb.test
async def slow_unit(dut: Any) -> None:
    source = _seed()
    bench = Bench(dut, source, 100, slow=sometimes(source, 0.7), busy=sometimes(source, 0.7))
    await bench.run()


@cocotb.test
async def halt(dut: Any) -> None:
    """A halted queue issues nothing."""
    bench = Bench(dut, _seed(), 10, starved=lambda: bench.cycle < 6)
    await bench.start()
    for _ in range(5):
        await bench.step()
    dut.halt_i.value = 1
    dut.tokens_ready_i.value = dut.unit_ready_i.value = 1
    for _ in range(5):
        await RisingEdge(dut.clk_i)
        assert not dut.issue_o.value
        assert not dut.unit_valid_o.value


@cocotb.test
async def halt_after_an_offer(dut: Any) -> None:
    """What the unit has been offered stays valid through a halt until it is accepted; nothing follows it."""
    bench = Bench(dut, _seed(), 10, slow=lambda: True, busy=lambda: True)
    await bench.start()
    for _ in range(6):
        await bench.step()
    assert dut.unit_valid_o.value
    dut.halt_i.value = 1
    for _ in range(5):
        await bench.step()
    bench.slow = never
    for _ in range(2):
        await bench.step()
    assert bench.issued == 1
    for _ in range(5):
        await RisingEdge(dut.clk_i)
        assert not dut.unit_valid_o.value
