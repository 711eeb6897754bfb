"""cocotb tests of cosyn_dram_channel: every beat in the cycle that the model says, every byte where it belongs."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from cosyn.rtl_testbench.dram_channel.model import Burst, beat_cycles
from cosyn.rtl_testbench.runner import bench_config

BEATS = 2048
CONFIG = bench_config()
WIDTH = CONFIG.channel_bytes


class Channel:
    """Drives both address ports, supplies write data at once, and records in which cycle what happened."""

    def __init__(self, dut: Any, *, wavering: bool = False) -> None:
        self.dut, self.random, self.wavering = dut, random.Random(7), wavering
        self.cycle = -1
        self.wanted: dict[bool, deque[tuple[int, int]]] = {False: deque(), True: deque()}
        self.data: deque[tuple[int, int, bool]] = deque()
        self.bursts: list[Burst] = []
        self.replies: list[tuple[int, int, int, bool]] = []
        self.responses: list[tuple[int, int]] = []
        self.idle = 0.0

    async def start(self, fill: bytes) -> None:
        dut = self.dut
        Path("memory0.bin").write_bytes(fill)
        for name in ("fail_read_i", "fail_write_i", "fail_address_i", "freeze_reads_i", "freeze_writes_i", "pause_i"):
            getattr(dut, name).value = 0
        for name in ("araddr", "arlen", "arvalid", "awaddr", "awlen", "awvalid", "wdata", "wstrb", "wlast", "wvalid"):
            getattr(dut, f"s_axi_{name}").value = 0
        dut.s_axi_rready.value = dut.s_axi_bready.value = dut.rst_i.value = 1
        dut.cycle_i.value = 0
        Clock(dut.clk_i, 10, unit="ns").start()
        await RisingEdge(dut.clk_i)
        await RisingEdge(dut.clk_i)
        await FallingEdge(dut.clk_i)
        if hasattr(dut, "store"):
            for index in range(BEATS):
                dut.store[index].value = int.from_bytes(fill[index * WIDTH : (index + 1) * WIDTH], "little")
        dut.rst_i.value = 0

    async def tick(self) -> None:
        """One cycle: drive after the falling edge, look just before the rising edge."""
        dut = self.dut
        self.cycle += 1
        dut.cycle_i.value = self.cycle
        for write, prefix in ((False, "ar"), (True, "aw")):
            valid = getattr(dut, f"s_axi_{prefix}valid")
            if self.wanted[write] and (self.random.random() >= self.idle or self._held[write]):
                address, beats = self.wanted[write][0]
                valid.value = 1
                getattr(dut, f"s_axi_{prefix}addr").value = address
                getattr(dut, f"s_axi_{prefix}len").value = beats - 1
                self._held[write] = True
            else:
                valid.value = 0
        dut.s_axi_wvalid.value = int(bool(self.data))
        if self.data:
            dut.s_axi_wdata.value, dut.s_axi_wstrb.value, last = self.data[0][0], self.data[0][1], self.data[0][2]
            dut.s_axi_wlast.value = int(last)
        if self.wavering:
            dut.s_axi_rready.value, dut.s_axi_bready.value = self.random.getrandbits(1), self.random.getrandbits(1)
        await ReadOnly()
        self._record()
        await RisingEdge(dut.clk_i)
        await FallingEdge(dut.clk_i)

    _held: dict[bool, bool]

    def _record(self) -> None:
        dut = self.dut
        for write, prefix in ((False, "ar"), (True, "aw")):
            if getattr(dut, f"s_axi_{prefix}valid").value == 1 and getattr(dut, f"s_axi_{prefix}ready").value == 1:
                address, beats = self.wanted[write].popleft()
                self.bursts.append(Burst(self.cycle, write, address, beats))
                self._held[write] = False
        if dut.s_axi_wvalid.value == 1 and dut.s_axi_wready.value == 1:
            self.data.popleft()
        if dut.s_axi_rvalid.value == 1 and dut.s_axi_rready.value == 1:
            data = dut.s_axi_rdata.value.to_unsigned()
            self.replies.append((self.cycle, data, int(dut.s_axi_rresp.value), bool(dut.s_axi_rlast.value)))
        if dut.s_axi_bvalid.value == 1 and dut.s_axi_bready.value == 1:
            self.responses.append((self.cycle, int(dut.s_axi_bresp.value)))

    def read(self, address: int, beats: int) -> None:
        self.wanted[False].append((address, beats))

    def write(self, address: int, data: bytes, strobes: list[int]) -> None:
        beats = len(strobes)
        self.wanted[True].append((address, beats))
        for beat, strobe in enumerate(strobes):
            word = int.from_bytes(data[beat * WIDTH : (beat + 1) * WIDTH], "little")
            self.data.append((word, strobe, beat == beats - 1))

    async def drain(self, limit: int = 20000) -> None:
        """Until every burst has been answered; fails if that takes longer than `limit` cycles."""
        for _ in range(limit):
            if not any(self.wanted.values()):
                reads = sum(burst.beats for burst in self.bursts if not burst.write)
                writes = sum(burst.write for burst in self.bursts)
                if (len(self.replies), len(self.responses)) == (reads, writes):
                    return
            await self.tick()
        raise AssertionError(f"not finished after {limit} cycles: {len(self.replies)} replies")

    def check(self, memory: bytearray, *, timed: bool = True) -> None:
        """Compare everything recorded with the model, on `memory` as it was before."""
        timing = CONFIG.memory
        replies, responses = iter(self.replies), iter(self.responses)
        sent = iter(self.sent)
        for burst, cycles in zip(self.bursts, beat_cycles(self.bursts, WIDTH, timing), strict=True):
            for beat, cycle in enumerate(cycles):
                place = burst.address + beat * WIDTH
                if burst.write:
                    word, strobe, _ = next(sent)
                    for byte in range(WIDTH):
                        if strobe >> byte & 1:
                            memory[place + byte] = word >> 8 * byte & 0xFF
                else:
                    seen, data, code, last = next(replies)
                    expected = int.from_bytes(memory[place : place + WIDTH], "little")
                    assert data == expected, f"beat {beat} of {burst}: {data:x}, expected {expected:x}"
                    assert (code, last) == (0, beat == burst.beats - 1)
                    if timed:
                        assert seen == cycle + timing.read_latency_cycles, f"beat {beat} of {burst} in cycle {seen}"
            if burst.write:
                seen, code = next(responses)
                assert code == 0
                if timed:
                    assert seen == cycles[-1] + timing.write_latency_cycles, f"response of {burst} in cycle {seen}"

    sent: list[tuple[int, int, bool]]


def _image() -> bytes:
    return random.Random(1).randbytes(BEATS * WIDTH)


async def _started(dut: Any, **options: Any) -> Channel:
    channel = Channel(dut, **options)
    channel._held = {False: False, True: False}
    await channel.start(_image())
    return channel


def _random_burst(channel: Channel, *, write: bool) -> None:
    draw = channel.random
    per_row = CONFIG.memory.row_bytes // WIDTH
    beats = draw.randint(1, CONFIG.burst_beats)
    if draw.random() < 0.5:
        address = draw.randrange(BEATS // per_row) * CONFIG.memory.row_bytes
    else:
        address = draw.randrange(BEATS - beats) * WIDTH
    while address % 4096 + beats * WIDTH > 4096:
        beats -= 1
    if write:
        strobes = [draw.choice([(1 << WIDTH) - 1, draw.getrandbits(WIDTH)]) for _ in range(beats)]
        channel.write(address, draw.randbytes(beats * WIDTH), strobes)
    else:
        channel.read(address, beats)


@cocotb.test
async def sequential_reads_stream(dut: Any) -> None:
    """Reads in address order pay one row miss, then a beat a cycle except in refresh."""
    channel = await _started(dut)
    for index in range(60):
        channel.read(index * CONFIG.burst_beats * WIDTH % (BEATS * WIDTH), CONFIG.burst_beats)
    channel.sent = []
    await channel.drain()
    channel.check(bytearray(_image()))


@cocotb.test
async def mixed_bursts(dut: Any) -> None:
    """Random reads and writes, dense and with idle cycles between them."""
    channel = await _started(dut)
    for idle in (0.0, 0.9):
        channel.idle = idle
        for _ in range(120):
            _random_burst(channel, write=channel.random.random() < 0.4)
        channel.sent = getattr(channel, "sent", []) + list(channel.data)
        await channel.drain()
    assert {burst.write for burst in channel.bursts} == {False, True}
    channel.check(bytearray(_image()))


@cocotb.test
async def slow_host_and_pauses(dut: Any) -> None:
    """With pauses and a host that is rarely ready, the bytes and their order stay right."""
    channel = await _started(dut, wavering=True)
    dut.pause_i.value = 128
    for _ in range(80):
        _random_burst(channel, write=channel.random.random() < 0.4)
    channel.sent = list(channel.data)
    await channel.drain()
    channel.check(bytearray(_image()), timed=False)


@cocotb.test
async def injected_errors(dut: Any) -> None:
    """An error is reported for the beat at fail_address, and for a burst outside the memory; nowhere else."""
    channel = await _started(dut)
    dut.fail_address_i.value, dut.fail_read_i.value, dut.fail_write_i.value = 3 * WIDTH, 1, 1
    channel.read(0, 5)
    channel.read(8 * WIDTH, 2)
    await channel.drain()
    assert [code for _, _, code, _ in channel.replies] == [0, 0, 0, 2, 0, 0, 0]
    channel.write(2 * WIDTH, bytes(3 * WIDTH), [1, 1, 1])
    channel.write(4 * WIDTH, bytes(WIDTH), [1])
    await channel.drain()
    assert [code for _, code in channel.responses] == [2, 0]
    channel.read(BEATS * WIDTH, 1)
    await channel.drain()
    assert channel.replies[-1][2] == 3


@cocotb.test
async def frozen(dut: Any) -> None:
    """Frozen reads never answer while writes go on; thawed, they do."""
    channel = await _started(dut)
    dut.freeze_reads_i.value = 1
    channel.read(0, 4)
    channel.write(0, bytes(WIDTH), [1])
    for _ in range(200):
        await channel.tick()
    assert not channel.replies
    assert len(channel.responses) == 1
    dut.freeze_reads_i.value = 0
    await channel.drain()
    assert len(channel.replies) == 4
