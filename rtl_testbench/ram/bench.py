"""cocotb test of cosyn_ram_1r1w."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

WIDTH, DEPTH, PART = (int(os.environ[f"RAM_{name}"]) for name in ("WIDTH", "DEPTH", "PART"))


@cocotb.test
async def random_accesses(dut: Any) -> None:
    """Reads and partial writes in every cycle, also of one address, with a stalled output stage."""
    source = random.Random(cocotb.RANDOM_SEED)
    Clock(dut.clk_i, 10, unit="ns").start()
    dut.re_i.value = dut.ce_i.value = dut.raddr_i.value = 0
    ones = (1 << WIDTH // PART) - 1
    memory = [source.getrandbits(WIDTH) for _ in range(DEPTH)]
    for address, word in enumerate(memory):
        dut.we_i.value, dut.waddr_i.value, dut.wdata_i.value = ones, address, word
        await RisingEdge(dut.clk_i)
    fetched: int | None = None
    shown: int | None = None
    met: set[str] = set()
    for _ in range(3000):
        near = source.randrange(DEPTH)
        enables, address, word = source.getrandbits(WIDTH // PART), near, source.getrandbits(WIDTH)
        enables = source.choice([0, ones, enables])
        read, at = source.random() < 0.7, source.choice([near, source.randrange(DEPTH)])
        move = source.random() < 0.6
        dut.we_i.value, dut.waddr_i.value, dut.wdata_i.value = enables, address, word
        dut.re_i.value, dut.raddr_i.value, dut.ce_i.value = int(read), at, int(move)
        await RisingEdge(dut.clk_i)
        if shown is not None:
            assert dut.rdata_o.value.to_unsigned() == shown
        # What the edge did; both read what was there before it.
        if move:
            shown = fetched
        if read:
            fetched = memory[at]
            met.add("read_while_written" if enables and at == address else "read")
        for part in range(WIDTH // PART):
            if enables >> part & 1:
                mask = (1 << PART) - 1 << part * PART
                memory[address] = memory[address] & ~mask | word & mask
        met.add({0: "no_write", ones: "whole_write"}.get(enables, "part_write"))
        met.add("moves" if move else "stalls")
    wanted = {"read_while_written", "read", "no_write", "whole_write", "moves", "stalls"}
    wanted |= {"part_write"} if PART < WIDTH else set()
    assert wanted <= met, f"coverage: missing {sorted(wanted - met)}"
