"""The store unit between two buffers and a memory, and what it must have written."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.config import REGISTERS
from cosyn.accelerator_model.isa import Store
from cosyn.rtl_testbench.models.axi_memory import WriteMemory
from cosyn.rtl_testbench.models.pauses import Pause, never
from cosyn.rtl_testbench.runner import bench_config
from cosyn.rtl_testbench.store.expected import Buffers, Write, digest, writes

STRIPES = 8192


@dataclass
class Bench:
    """A store unit between two buffers and a memory."""

    dut: Any
    source: random.Random
    stores: list[Store]
    registers: list[int] = field(default_factory=lambda: [0] * REGISTERS)
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
