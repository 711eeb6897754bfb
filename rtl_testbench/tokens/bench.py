"""cocotb tests of cosyn_tokens."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import Opcode

CLASSES = len(Opcode)
LIMIT = 255
"""The largest count."""


class Bench:
    """Random retirements and issues beside six times six Python integers."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.count = [[0] * CLASSES for _ in range(CLASSES)]
        """[from][to]."""

    async def start(self) -> None:
        """Reset."""
        Clock(self.dut.clk_i, 10, unit="ns").start()
        self.dut.rst_i.value = 1
        self.drive([0] * CLASSES, 0, [0] * CLASSES, 0)
        await RisingEdge(self.dut.clk_i)
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    def drive(self, wait: list[int], issue: int, release: list[int], retire: int) -> None:
        """Masks per class; `issue` and `retire` have one bit per class."""
        self.dut.wait_i.value = sum(mask << CLASSES * i for i, mask in enumerate(wait))
        self.dut.release_i.value = sum(mask << CLASSES * i for i, mask in enumerate(release))
        self.dut.issue_i.value, self.dut.retire_i.value = issue, retire

    def ready(self, wait: list[int]) -> int:
        """The classes whose tokens are all there."""
        return sum(
            1 << to
            for to in range(CLASSES)
            if all(self.count[giver][to] for giver in range(CLASSES) if wait[to] >> giver & 1)
        )

    def apply(self, wait: list[int], issue: int, release: list[int], retire: int) -> None:
        """What the counters should do at the next edge."""
        for giver in range(CLASSES):
            for to in range(CLASSES):
                self.count[giver][to] += (retire >> giver & 1) & (release[giver] >> to & 1)
                self.count[giver][to] -= (issue >> to & 1) & (wait[to] >> giver & 1)

    async def edge(self) -> None:
        """The next edge."""
        await RisingEdge(self.dut.clk_i)


@cocotb.test
async def random_traffic(dut: Any) -> None:
    """Thousands of random masks: ready says exactly what the integers say."""
    source = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut)
    await bench.start()
    ready_seen = blocked_seen = together = 0
    await bench.edge()
    for _ in range(4000):
        wait = [source.getrandbits(6) & source.getrandbits(6) for _ in range(CLASSES)]
        release = [source.getrandbits(6) & source.getrandbits(6) for _ in range(CLASSES)]
        ready = bench.ready(wait)
        issue, retire = ready & source.getrandbits(6), source.getrandbits(6)
        if max(map(max, bench.count)) > LIMIT - 2:
            retire = 0
        bench.drive(wait, issue, release, retire)
        await bench.edge()
        found = dut.ready_o.value.to_unsigned()
        assert found == ready, f"ready {found:06b} instead of {ready:06b} for {wait} with {bench.count}"
        assert not dut.error_o.value
        ready_seen += ready.bit_count()
        blocked_seen += 6 - ready.bit_count()
        together += bool(issue & retire)
        bench.apply(wait, issue, release, retire)
    assert min(ready_seen, blocked_seen, together) > 500


@cocotb.test
async def one_cycle(dut: Any) -> None:
    """A token can be used in the cycle after the retirement that gave it."""
    bench = Bench(dut)
    await bench.start()
    wait, none = [0] * CLASSES, [0] * CLASSES
    wait[Opcode.MV] = 1 << Opcode.LD
    release = [1 << Opcode.MV, 0, 0, 0, 0, 0]
    bench.drive(wait, 0, release, 1 << Opcode.LD)
    await bench.edge()
    assert dut.ready_o.value.to_unsigned() == 63 & ~(1 << Opcode.MV)
    bench.drive(wait, 1 << Opcode.MV, none, 0)
    await bench.edge()
    assert dut.ready_o.value.to_unsigned() == 63
    bench.drive(wait, 0, none, 0)
    await bench.edge()
    assert dut.ready_o.value.to_unsigned() == 63 & ~(1 << Opcode.MV), "the token was not taken"


async def _error(bench: Bench) -> tuple[int, int, int]:
    for _ in range(4):
        await bench.edge()
        if bench.dut.error_o.value:
            dut = bench.dut
            code, unit = dut.error_code_o.value.to_unsigned(), dut.error_class_o.value.to_unsigned()
            return code, unit, dut.error_detail_o.value.to_unsigned()
    raise AssertionError("no error was reported")


@cocotb.test
async def overflow(dut: Any) -> None:
    """One token more than a counter holds is reported with its pair."""
    bench = Bench(dut)
    await bench.start()
    release = [0] * CLASSES
    release[Opcode.MISC] = 1 << Opcode.ST
    for _ in range(LIMIT + 1):
        assert not dut.error_o.value
        bench.drive([0] * CLASSES, 0, release, 1 << Opcode.MISC)
        await bench.edge()
    bench.drive([0] * CLASSES, 0, release, 0)
    assert await _error(bench) == (ErrorCode.TOKEN_OVERFLOW, Opcode.ST, Opcode.MISC * 6 + Opcode.ST)


@cocotb.test
async def corruption(dut: Any) -> None:
    """Any flipped bit of a counter or its copy is reported, and makes no token."""
    for name in ("count_q", "copy_q"):
        for pair, bit in ((0, 0), (13, 7), (35, 3)):
            bench = Bench(dut)
            await bench.start()
            giver, to = divmod(pair, CLASSES)
            wait = [0] * CLASSES
            wait[to] = 1 << giver
            bench.drive(wait, 0, [0] * CLASSES, 0)
            await bench.edge()
            await bench.edge()
            handle = getattr(dut, name)
            handle.value = handle.value.to_unsigned() ^ 1 << 8 * pair + bit
            await bench.edge()
            await bench.edge()
            assert not dut.ready_o.value.to_unsigned() >> to & 1, "a corrupt counter gave a token"
            assert await _error(bench) == (ErrorCode.TOKEN_CORRUPT, to, pair)
