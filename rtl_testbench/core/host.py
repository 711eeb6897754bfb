"""The host of cosyn_accelerator in a test: its memories, its registers, and a program that copies."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model import control
from cosyn.accelerator_model.control import CoreRegister, global_register
from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    LoadTarget,
    Opcode,
    Store,
    StoreMode,
    System,
    SystemOperation,
    mask,
)
from cosyn.rtl_testbench.models.axi_memory import ReadMemory, WriteMemory, number
from cosyn.rtl_testbench.models.digest import step as digest_step
from cosyn.rtl_testbench.models.pauses import sometimes
from cosyn.rtl_testbench.runner import bench_config

STRIPES = 2048
PROGRAM_BASE = 0x240
STATUS, CONTROL, ERROR = (global_register(name) for name in ("STATUS", "CONTROL", "ERROR"))
BUSY, DONE, FAILED, ABANDONED = (1 << STATUS.field(name).low for name in ("BUSY", "DONE", "ERROR", "ABANDONED"))
START, INTERRUPT, RESET = (1 << CONTROL.field(name).low for name in ("START", "INTERRUPT_ENABLE", "SOFT_RESET"))


class _Ports:
    """The master ports of the accelerator under the names of a unit's ports."""

    def __init__(self, dut: Any, prefix: str) -> None:
        self._dut, self._prefix = dut, prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dut, self._prefix + name.removesuffix("_i").removesuffix("_o"))


class Bench:
    """The accelerator, its memories and its host."""

    def __init__(self, dut: Any, source: random.Random, pauses: float = 0.0) -> None:
        self.dut, self.source = dut, source
        self.config = bench_config()
        self.share = pauses
        self.retired: list[tuple[int, int, Opcode, int]] = []
        """Cycle, core, class and digest."""
        self.cycle = self.started = 0

    async def start(self) -> None:
        """Reset; the data memory filled at random."""
        dut, config = self.dut, self.config
        Clock(dut.clk_i, 10, unit="ns").start()
        dut.rst_i.value = 1
        for name in ("awvalid", "wvalid", "arvalid", "awaddr", "wdata", "araddr"):
            getattr(dut, f"s_axil_{name}").value = 0
        dut.s_axil_wstrb.value, dut.s_axil_bready.value, dut.s_axil_rready.value = 15, 1, 1
        dut.m_axi_inst_rlast.value = 0
        numbers = np.random.default_rng(self.source.randrange(1 << 30))
        shape = (STRIPES, config.cores * config.stripe_bytes)
        self.stripes = numbers.integers(0, 256, shape).astype(np.uint8)
        channels = config.cores * config.channels_per_core
        pause = [sometimes(self.source, self.share) for _ in range(4)]
        data, programs = _Ports(dut, "m_axi_"), _Ports(dut, "m_axi_inst_")
        self.reads = ReadMemory(data, channels, config.channel_bytes, self.stripes, 12, pause[0], pause[1])
        self.writes = WriteMemory(data, channels, config.channel_bytes, self.stripes, 6, pause[2], pause[3])
        image = np.zeros((1024, 16 * config.cores), np.uint8)
        self.programs = ReadMemory(programs, config.cores, 16, image, 6, fixed_beats=4)
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        for _ in range(8):
            await self.step()

    async def step(self) -> None:
        """One cycle."""
        await RisingEdge(self.dut.clk_i)
        pulses = number(self.dut.retire_o, "valid")
        if pulses:
            digests = number(self.dut.retire_digest_o, "data")
            for place in range(6 * self.config.cores):
                if pulses >> place & 1:
                    core, unit = divmod(place, 6)
                    self.retired.append((self.cycle, core, Opcode(unit), digests >> 32 * place & 0xFFFFFFFF))
        if self.dut.start.value:
            self.started = self.cycle
        self.reads.cycle()
        self.writes.cycle()
        self.programs.cycle()
        self.cycle += 1

    async def _until(self, condition: Callable[[], bool], limit: int = 200) -> None:
        for _ in range(limit):
            await self.step()
            if condition():
                return
        raise AssertionError(f"nothing for {limit} cycles")

    async def write(self, address: int, value: int) -> int:
        """Write a control register; the response."""
        dut = self.dut
        dut.s_axil_awaddr.value, dut.s_axil_wdata.value = address, value
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 1
        await self._until(lambda: bool(dut.s_axil_awready.value))
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 0
        await self._until(lambda: bool(dut.s_axil_bvalid.value))
        return int(dut.s_axil_bresp.value.to_unsigned())

    async def read(self, address: int) -> int:
        """Read a control register."""
        dut = self.dut
        dut.s_axil_araddr.value, dut.s_axil_arvalid.value = address, 1
        await self._until(lambda: bool(dut.s_axil_arready.value))
        dut.s_axil_arvalid.value = 0
        await self._until(lambda: bool(dut.s_axil_rvalid.value))
        assert dut.s_axil_rresp.value.to_unsigned() == 0, f"read of {address:#x} failed"
        return int(dut.s_axil_rdata.value.to_unsigned())

    def load_programs(self, programs: Sequence[Sequence[Instruction | bytes]]) -> None:
        """Put each core's program into its instruction memory."""
        for core, program in enumerate(programs):
            data = b"".join(item if isinstance(item, bytes) else item.encode() for item in program)
            beats = np.frombuffer(data, np.uint8).reshape(-1, 16)
            first = PROGRAM_BASE // 16
            self.programs.stripes[first : first + len(beats), 16 * core : 16 * core + 16] = beats

    async def begin(self, programs: Sequence[Sequence[Instruction | bytes]]) -> None:
        """Load the programs and ring the doorbell."""
        self.load_programs(programs)
        self.retired.clear()
        for core in range(self.config.cores):
            await self.write(control.core_address(core, CoreRegister.PROGRAM_BASE_LOW), PROGRAM_BASE)
            await self.write(control.core_address(core, CoreRegister.PROGRAM_BASE_HIGH), 0)
        await self.write(CONTROL.address, START | INTERRUPT)

    async def run(self, programs: Sequence[Sequence[Instruction | bytes]], limit: int = 5000) -> int:
        """Run to the interrupt; the status."""
        await self.begin(programs)
        await self._until(lambda: bool(self.dut.interrupt_o.value), limit)
        return await self.read(STATUS.address)

    async def soft_reset(self, limit: int = 200) -> None:
        """As a host does after an error."""
        await self.write(CONTROL.address, RESET | INTERRUPT)
        for _ in range(limit):
            if not await self.read(CONTROL.address) & RESET:
                return
        raise AssertionError("the soft reset did not end")

    async def counter(self, core: int, register: CoreRegister, opcode: Opcode | None = None) -> int:
        """One of a core's counters."""
        return await self.read(control.core_address(core, register, opcode))


def seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


END = System(operation=SystemOperation.DONE, wait=mask(Opcode.ST))


def copy_program(length: int = 20, source: int = 30, target: int = 500) -> list[Instruction]:
    """Memory to vector buffer to memory."""
    return [
        Load(target=LoadTarget.VECTOR, address=source, length=length, vector_line=8, release=mask(Opcode.ST)),
        Store(
            mode=StoreMode.LINES,
            address=target,
            length=length,
            source=8,
            wait=mask(Opcode.LD),
            release=mask(Opcode.SYS),
        ),
        END,
    ]


async def check_copies(bench: Bench) -> None:
    """The copy program runs, and memory, digests, status and counters are right."""
    config, length = bench.config, 20
    status = await bench.run([copy_program(length)] * config.cores)
    assert status == DONE
    assert (bench.stripes[500 : 500 + length] == bench.stripes[30 : 30 + length]).all()
    for core in range(config.cores):
        part = slice(core * config.stripe_bytes, (core + 1) * config.stripe_bytes)
        digest = stored = 0
        for index in range(length):
            data = np.ascontiguousarray(bench.stripes[30 + index, part])
            digest, stored = digest_step(digest, data), digest_step(stored, data, 500 + index)
        found = [(unit, value) for _, place, unit, value in bench.retired if place == core]
        assert found == [(Opcode.LD, digest), (Opcode.ST, stored), (Opcode.SYS, 0)]
        for opcode in Opcode:
            expected = int(opcode in (Opcode.LD, Opcode.ST, Opcode.SYS))
            assert await bench.counter(core, CoreRegister.RETIRED, opcode) == expected
        beats = length * config.channels_per_core
        assert await bench.counter(core, CoreRegister.READ_BEATS) == beats
        assert await bench.counter(core, CoreRegister.WRITE_BEATS) == beats
        assert await bench.counter(core, CoreRegister.FETCHED) == 3
        waited = await bench.counter(core, CoreRegister.TOKEN_WAIT, Opcode.ST)
        busy = await bench.counter(core, CoreRegister.BUSY, Opcode.LD)
        assert 0 < waited <= busy + 2
    cycles = await bench.read(global_register("CYCLES_LOW").address)
    last = max(cycle for cycle, *_ in bench.retired)
    assert cycles == last - bench.started + 1
