"""cocotb tests of cosyn_accelerator: programs of LD, ST and SYS, and injected faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model import control
from cosyn.accelerator_model.control import CoreRegister, ErrorCode, global_register
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


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


END = System(operation=SystemOperation.DONE, wait=mask(Opcode.ST))


def _copy(length: int = 20, source: int = 30, target: int = 500) -> list[Instruction]:
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


async def _copies(bench: Bench) -> None:
    """The copy program runs, and memory, digests, status and counters are right."""
    config, length = bench.config, 20
    status = await bench.run([_copy(length)] * config.cores)
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


@cocotb.test
async def copy(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    await _copies(bench)
    await bench.write(STATUS.address, DONE)
    assert await bench.read(STATUS.address) == 0
    await bench.step()
    assert not dut.interrupt_o.value
    await _copies(bench)


@cocotb.test
async def copy_with_pauses(dut: Any) -> None:
    bench = Bench(dut, _seed(), 0.4)
    await bench.start()
    await _copies(bench)


@cocotb.test
async def exchange(dut: Any) -> None:
    """Every core loads its slice, all exchange, every core stores the whole vector."""
    bench = Bench(dut, _seed())
    await bench.start()
    config, part = bench.config, 4
    lines = part * config.stripe_lines
    programs: list[list[Instruction]] = []
    trade = System(
        operation=SystemOperation.EXCHANGE, rows=1, lines=lines, wait=mask(Opcode.LD), release=mask(Opcode.ST)
    )
    for core in range(config.cores):
        first = 100 + core * lines
        programs.append(
            [
                Load(target=LoadTarget.VECTOR, address=10, length=part, vector_line=first, release=mask(Opcode.SYS)),
                replace(trade, base=first),
                Store(
                    mode=StoreMode.LINES, address=700, length=part * config.cores, source=100,
                    wait=mask(Opcode.SYS), release=mask(Opcode.SYS),
                ),
                END,
            ]
        )  # fmt: skip
    assert await bench.run(programs) == DONE
    size = config.stripe_bytes
    whole = np.concatenate(
        [bench.stripes[10 : 10 + part, core * size : (core + 1) * size] for core in range(config.cores)]
    )
    for core in range(config.cores):
        found = bench.stripes[700 : 700 + part * config.cores, core * size : (core + 1) * size]
        assert (found == whole).all(), f"core {core} has another vector"


async def _detects(
    bench: Bench,
    programs: Sequence[Sequence[Instruction | bytes]],
    code: ErrorCode,
    core: int,
    unit: int,
    limit: int = 5000,
) -> int:
    """The programs end in that error; after a soft reset a good program runs. The error's detail."""
    status = await bench.run(programs, limit)
    assert status & FAILED
    assert not status & DONE
    error = await bench.read(ERROR.address)
    found = tuple(
        error >> ERROR.field(name).low & (1 << ERROR.field(name).width) - 1 for name in ("CODE", "CORE", "CLASS")
    )
    detail = await bench.read(global_register("ERROR_DETAIL").address)
    assert found == (code, core, unit), f"{control.describe_error(error, detail)}"
    await bench.write(CONTROL.address, START | INTERRUPT)
    for _ in range(100):
        await bench.step()
    assert await bench.read(STATUS.address) & FAILED, "a start passed over the error"
    return detail


async def _recovers(bench: Bench, abandoned: bool = False) -> None:
    await bench.soft_reset(3000 if abandoned else 200)
    status = await bench.read(STATUS.address)
    assert status == (ABANDONED if abandoned else 0), f"status {status:#x} after the reset"
    assert not bench.dut.interrupt_o.value
    if not abandoned:
        await _copies(bench)


def _everyone(bench: Bench, program: Sequence[Instruction | bytes], core: int) -> list[Sequence[Instruction | bytes]]:
    """`program` on one core, the copy on the others."""
    return [program if index == core else _copy() for index in range(bench.config.cores)]


@cocotb.test
async def flipped_instruction_bit(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    core = bench.config.cores - 1
    data = bytearray(_copy()[1].encode())
    data[20] ^= 4
    program: list[Instruction | bytes] = [_copy()[0], bytes(data), END]
    detail = await _detects(bench, _everyone(bench, program, core), ErrorCode.INSTRUCTION_CRC, core, control.NO_CLASS)
    assert detail == 1
    await _recovers(bench)


@cocotb.test
async def flipped_weight_bit(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    digest = 0
    for stripe in range(30, 50):
        digest = digest_step(digest, np.ascontiguousarray(bench.stripes[stripe, : bench.config.stripe_bytes]))
    load = Load(target=LoadTarget.WEIGHTS, address=30, length=20, checked=1, checksum=digest, release=mask(Opcode.SYS))
    program = [load, System(operation=SystemOperation.DONE, wait=mask(Opcode.LD))]
    assert await bench.run(_everyone(bench, program, 0)) == DONE
    bench.stripes[41, 7] ^= 16
    await _detects(bench, _everyone(bench, program, 0), ErrorCode.CHECKSUM, 0, Opcode.LD)
    await _recovers(bench)


@cocotb.test
async def flipped_token_bit(dut: Any) -> None:
    """A bit of a counter is changed while the program waits for that token."""
    bench = Bench(dut, _seed())
    await bench.start()
    wait = System(operation=SystemOperation.DONE, wait=mask(Opcode.MISC))
    await bench.begin([[wait]] * bench.config.cores)
    for _ in range(60):
        await bench.step()
    core = bench.config.cores - 1
    pair = Opcode.MISC * 6 + Opcode.SYS
    handle = dut[f"gen_core[{core}].u_core.u_tokens.count_q"]
    handle.value = handle.value.to_unsigned() ^ 2 << 8 * pair
    await bench._until(lambda: bool(dut.interrupt_o.value), 20)
    error = await bench.read(ERROR.address)
    assert error == ErrorCode.TOKEN_CORRUPT | core << 8 | Opcode.SYS << 16
    assert await bench.read(global_register("ERROR_DETAIL").address) == pair
    assert not bench.retired
    await _recovers(bench)


@cocotb.test
async def read_error(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    bench.reads.fail.add(35)
    await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.AXI_READ, 0, Opcode.LD)
    bench.reads.fail.clear()
    await _recovers(bench)


@cocotb.test
async def instruction_read_error(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    bench.programs.fail.add(PROGRAM_BASE // 16 + 4 + 2)
    detail = await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.AXI_READ, 0, control.NO_CLASS)
    assert detail == 1
    bench.programs.fail.clear()
    await _recovers(bench)


@cocotb.test
async def write_error(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    bench.writes.fail.add(512)
    await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.AXI_WRITE, 0, Opcode.ST)
    bench.writes.fail.clear()
    await _recovers(bench)


@cocotb.test
async def address_range(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    core, lines = bench.config.cores - 1, bench.config.vector_lines
    load = Load(target=LoadTarget.VECTOR, address=3, length=1, vector_line=lines - 1, release=mask(Opcode.ST))
    detail = await _detects(bench, _everyone(bench, [load, END], core), ErrorCode.ADDRESS_RANGE, core, Opcode.LD)
    assert detail == lines
    await _recovers(bench)


@cocotb.test
async def reads_blocked_for_ever(dut: Any) -> None:
    """The memory takes no address: the watchdog names LD; the reset has to abandon the pending AR."""
    bench = Bench(dut, _seed())
    await bench.start()
    bench.reads.slow = lambda: True
    detail = await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.LD)
    assert detail >> 8 & 63 == mask(Opcode.LD)
    assert detail >> 16 & 63 == mask(Opcode.ST, Opcode.SYS)
    await _recovers(bench, abandoned=True)


@cocotb.test
async def read_data_late(dut: Any) -> None:
    """The memory keeps the data back, the watchdog fires, the data comes after all: the reset is clean."""
    bench = Bench(dut, _seed())
    await bench.start()
    bench.reads.idle = lambda: True
    await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.LD)
    assert await bench.read(STATUS.address) & BUSY, "open reads are not reported as busy"
    bench.reads.idle = lambda: False
    await _recovers(bench)


@cocotb.test
async def writes_blocked_for_ever(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    bench.writes.slow = lambda: True
    await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.ST)
    await _recovers(bench, abandoned=True)


@cocotb.test
async def instruction_memory_silent(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    bench.programs.idle = lambda: True
    await _detects(bench, [_copy()] * bench.config.cores, ErrorCode.WATCHDOG, 0, control.NO_CLASS)
    bench.programs.idle = lambda: False
    await _recovers(bench)


@cocotb.test
async def tokens_that_never_come(dut: Any) -> None:
    """A wait cycle in the program: the watchdog names the class whose head waits."""
    bench = Bench(dut, _seed())
    await bench.start()
    program = [Store(mode=StoreMode.LINES, wait=mask(Opcode.MISC)), END]
    detail = await _detects(bench, [program] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.ST)
    assert detail == mask(Opcode.ST, Opcode.SYS) | mask(Opcode.ST, Opcode.SYS) << 16
    await _recovers(bench)


@cocotb.test
async def a_core_misses_the_barrier(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    if bench.config.cores == 1:
        return
    barrier = [System(operation=SystemOperation.BARRIER), System(operation=SystemOperation.DONE)]
    await _detects(bench, _everyone(bench, barrier, 1), ErrorCode.WATCHDOG, 1, Opcode.SYS)
    await _recovers(bench)


@cocotb.test
async def registers(dut: Any) -> None:
    bench = Bench(dut, _seed())
    await bench.start()
    assert await bench.read(global_register("ID").address) == control.IDENTITY
    assert await bench.read(global_register("CORES").address) == bench.config.cores
    for index in range(1, 16):
        await bench.write(control.runtime_register_address(index), 0x1010101 * index)
    for index in range(1, 16):
        assert await bench.read(control.runtime_register_address(index)) == 0x1010101 * index
