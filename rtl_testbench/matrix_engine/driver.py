"""Drives cosyn_matrix_engine: an LD, a vector buffer with arbitration, ST reads, and a scoreboard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from numpy.random import Generator
from numpy.typing import NDArray

from cosyn.accelerator_model.isa import MatrixInstruction, MatrixMatrix
from cosyn.rtl_testbench.matrix_engine.stimulus import Case
from cosyn.rtl_testbench.runner import bench_config

_INPUTS = (
    "mm_valid_i mv_valid_i mm_inst_i mv_inst_i registers_i ring_valid_i ring_select_i ring_data_i act_we_i act_bank_i"
    " act_addr_i act_slot_i act_data_i st_act_req_i st_act_bank_i st_act_addr_i vr_gnt_i vr_valid_i vr_data_i vw_gnt_i"
).split()


@dataclass(frozen=True)
class Stress:
    """Chances in each cycle."""

    push: float = 1.0
    """LD offers a stripe."""
    read: float = 1.0
    """The vector buffer grants a read."""
    write: float = 1.0
    store: float = 0.0
    """ST asks for a line of the activation buffer."""


CALM = Stress()
"""Nothing waits."""


class Bench:
    """Clock, reset and the engine's neighbours; `tick` is a cycle."""

    def __init__(self, dut: Any, rng: Generator, stress: Stress = CALM) -> None:
        self.dut, self.rng, self.config, self.stress = dut, rng, bench_config(), stress
        self.vector = np.zeros((self.config.vector_lines, self.config.lanes), np.uint32)
        self.activation: NDArray[np.uint8] | None = None
        self.lines = range(0)
        self.stripes: list[deque[int]] = [deque(), deque()]
        self.cycle = self.active = self.empty = self.stalled = 0
        self.stored = self.refused = 0
        """Lines that ST got, and cycles in which it had to wait."""
        self.first_active = self.last_active = 0
        self._reads: list[int | None] = [None]
        self._stores: list[tuple[int, int]] = []
        self._clocked = False

    async def start(self) -> None:
        """Reset."""
        dut = self.dut
        for name in _INPUTS:
            getattr(dut, name).value = 0
        dut.rst_i.value = 1
        if not self._clocked:
            Clock(dut.clk_i, 10, unit="ns").start()
            self._clocked = True
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        self._reads, self._stores = [None], []
        await RisingEdge(dut.clk_i)

    async def tick(self) -> None:
        """One cycle: what happened in it, then what the next one offers."""
        await RisingEdge(self.dut.clk_i)
        self.cycle += 1
        if self.dut.array_active_o.value:
            self.active += 1
            self.last_active = self.cycle
            self.first_active = self.first_active or self.cycle
        self.empty += int(self.dut.ring_empty_o.value)
        self.stalled += int(self.dut.drain_stall_o.value)
        self._vector_buffer()
        self._load()
        self._store()

    def _vector_buffer(self) -> None:
        dut, config = self.dut, self.config
        read = self._reads.pop(0)
        dut.vr_valid_i.value = int(read is not None)
        if read is not None:
            dut.vr_data_i.value = int.from_bytes(self.vector[read].tobytes(), "little")
        took = bool(dut.vr_req_o.value) and bool(dut.vr_gnt_i.value)
        self._reads.append(dut.vr_addr_o.value.to_unsigned() % config.vector_lines if took else None)
        if bool(dut.vw_req_o.value) and bool(dut.vw_gnt_i.value):
            data = dut.vw_data_o.value.to_unsigned().to_bytes(config.line_bytes, "little")
            self.vector[dut.vw_addr_o.value.to_unsigned()] = np.frombuffer(data, np.uint32)
        dut.vr_gnt_i.value = int(self.rng.random() < self.stress.read)
        dut.vw_gnt_i.value = int(self.rng.random() < self.stress.write)

    def _load(self) -> None:
        """Offer a stripe to one ring; a source keeps what it offers."""
        dut = self.dut
        if dut.ring_valid_i.value:
            ring = int(dut.ring_select_i.value)
            if not dut.ring_ready_o.value.to_unsigned() >> ring & 1:
                return
            self.stripes[ring].popleft()
            dut.ring_valid_i.value = 0
        rings = [ring for ring in (0, 1) if self.stripes[ring]]
        if rings and self.rng.random() < self.stress.push:
            ring = rings[int(self.rng.integers(len(rings)))]
            dut.ring_valid_i.value, dut.ring_select_i.value = 1, ring
            dut.ring_data_i.value = self.stripes[ring][0]

    def _store(self) -> None:
        """Read lines of the current case, and compare those that come."""
        dut = self.dut
        if not self.stress.store or self.activation is None:
            return
        if dut.st_act_valid_o.value:
            bank, line = self._stores.pop(0)
            found = dut.st_act_data_o.value.to_unsigned().to_bytes(self.config.activation_line_bytes, "little")
            assert found == self.activation[bank, line].tobytes(), f"ST read of bank {bank} line {line}"
            self.stored += 1
        if dut.st_act_req_i.value:
            if not dut.st_act_gnt_o.value:
                self.refused += 1
                return
            self._stores.append((dut.st_act_bank_i.value.to_unsigned(), dut.st_act_addr_i.value.to_unsigned()))
        wants = self.rng.random() < self.stress.store
        dut.st_act_req_i.value = int(wants)
        if wants:
            dut.st_act_bank_i.value = int(self.rng.integers(self.config.token_group))
            dut.st_act_addr_i.value = int(self.rng.integers(self.lines.start, self.lines.stop))

    async def load(self, case: Case) -> None:
        """Put activations and scales in their places."""
        config, dut = self.config, self.dut
        self.activation = None
        dut.st_act_req_i.value = 0
        while self._stores:
            await self.tick()
            if dut.st_act_valid_o.value:
                self._stores.pop(0)
        await self.tick()
        await self.tick()
        for bank in range(config.token_group):
            for line in case.activation_lines:
                row = case.activation[bank, line]
                for slot in range(config.activation_line_bytes // config.lanes):
                    part = row[slot * config.lanes : (slot + 1) * config.lanes]
                    dut.act_we_i.value, dut.act_bank_i.value = 1, bank
                    dut.act_addr_i.value, dut.act_slot_i.value = line, slot
                    dut.act_data_i.value = int.from_bytes(part.tobytes(), "little")
                    # The engine is idle: only LD may have something to do.
                    await RisingEdge(dut.clk_i)
                    self._load()
        dut.act_we_i.value = 0
        await self.tick()
        self.activation, self.lines = case.activation, case.activation_lines
        self.vector[:] = case.vector

    def queue(self, case: Case) -> None:
        """Let LD bring the case's stripes."""
        data = [int.from_bytes(stripe.tobytes(), "little") for stripe in case.stripes]
        self.stripes[int(case.instruction.ring)] += data

    async def fill(self) -> None:
        """Wait until LD has brought everything, or the ring that it waits for is full."""
        dut = self.dut
        while self.stripes[0] or self.stripes[1]:
            await self.tick()
            if dut.ring_valid_i.value and not dut.ring_ready_o.value.to_unsigned() >> int(dut.ring_select_i.value) & 1:
                return

    def _unit(self, instruction: MatrixInstruction) -> tuple[Any, ...]:
        name = "mm" if isinstance(instruction, MatrixMatrix) else "mv"
        return tuple(
            getattr(self.dut, f"{name}_{part}") for part in ("valid_i", "ready_o", "done_o", "digest_o", "inst_i")
        )

    async def offer(self, instruction: MatrixInstruction, registers: tuple[int, ...]) -> None:
        """Return in the cycle in which the engine takes it."""
        valid, ready, _, _, port = self._unit(instruction)
        self.dut.registers_i.value = sum(value << 32 * i for i, value in enumerate(registers))
        port.value = int.from_bytes(instruction.encode(), "little")
        valid.value = 1
        while True:
            await self.tick()
            if valid.value and ready.value:
                break
        valid.value = 0

    async def run(self, case: Case, limit: int = 40000) -> int:
        """Run one instruction and compare; cycles from its acceptance to done."""
        _, _, done, digest, _ = self._unit(case.instruction)
        await self.offer(case.instruction, case.registers)
        began = self.cycle
        self.first_active = 0
        for _ in range(limit):
            await self.tick()
            if done.value:
                self.compare(case, digest.value.to_unsigned())
                return self.cycle - began
        raise AssertionError(f"no end after {limit} cycles: {case.shape}; {case.instruction.assembly()}")

    def compare(self, case: Case, digest: int) -> None:
        """The whole vector buffer and the digest."""
        wrong = np.argwhere(self.vector != case.expected)
        if len(wrong):
            line, lane = (int(value) for value in wrong[0])
            found, expected = (int(array[line, lane]) for array in (self.vector, case.expected))
            raise AssertionError(
                f"vector line {line} lane {lane}: found {found:#010x}, expected {expected:#010x}, {len(wrong)} wrong;"
                f" {case.shape}; {case.instruction.assembly()}"
            )
        assert digest == case.digest, f"digest {digest:#010x}, expected {case.digest:#010x}: order; {case.shape}"
        assert not self.dut.error_o.value, "error_o"
