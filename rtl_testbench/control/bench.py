"""cocotb tests of cosyn_control, with cocotbext-axi's AXI4-Lite master."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from cosyn.accelerator_model import control
from cosyn.accelerator_model.config import REGISTERS
from cosyn.accelerator_model.control import CoreRegister, ErrorCode, global_register
from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.rtl_testbench.runner import bench_config

STATUS, CONTROL, ERROR, DETAIL = (
    global_register(name).address for name in ("STATUS", "CONTROL", "ERROR", "ERROR_DETAIL")
)
BUSY, DONE, FAILED, ABANDONED = 1, 2, 4, 8
START, INTERRUPT, RESET = 1, 2, 4
COUNTERS = 26


class Bench:
    """The slave between a bus master and cores that the test plays."""

    def __init__(self, dut: Any) -> None:
        self.dut, self.config = dut, bench_config()
        self.everyone = (1 << self.config.cores) - 1

    async def start(self) -> None:
        """Reset with quiet, idle cores."""
        dut = self.dut
        Clock(dut.clk_i, 10, unit="ns").start()
        for name in ("finished", "counters", "fetched", "state", "error", "error_code", "error_class", "error_detail"):
            getattr(dut, f"{name}_i").value = 0
        for name in ("x_error", "x_error_code", "x_error_core", "x_error_detail"):
            getattr(dut, f"{name}_i").value = 0
        dut.quiet_i.value = self.everyone
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, dut.rst_i)
        dut.rst_i.value = 1
        await ClockCycles(dut.clk_i, 4)
        dut.rst_i.value = 0
        await ClockCycles(dut.clk_i, 12)

    async def read(self, address: int) -> int:
        """A register."""
        return int(await self.bus.read_dword(address))

    async def write(self, address: int, value: int) -> None:
        """A register."""
        await self.bus.write_dword(address, value)

    async def run(self) -> None:
        """Start, and wait until the cores have been started."""
        await self.write(CONTROL, START | INTERRUPT)
        for _ in range(30):
            if self.dut.start_o.value:
                return
            await RisingEdge(self.dut.clk_i)
        raise AssertionError("no start")

    async def fail(self, core: int, code: int, unit: int, detail: int) -> None:
        """A core's one-cycle error."""
        dut = self.dut
        dut.error_code_i.value, dut.error_class_i.value = code << 8 * core, unit << 4 * core
        dut.error_detail_i.value, dut.error_i.value = detail << 32 * core, 1 << core
        await RisingEdge(dut.clk_i)
        dut.error_i.value = 0
        await ClockCycles(dut.clk_i, 4)


@cocotb.test
async def every_register(dut: Any) -> None:
    """Each address of the declaration answers, holds what is written if it may, and no other address answers."""
    bench = Bench(dut)
    await bench.start()
    config = bench.config
    known = {item.address: item for item in control.registers(config)}
    assert await bench.read(global_register("ID").address) == control.IDENTITY
    text = f"{await bench.read(8):08x}{await bench.read(4):08x}"
    assert text == config_hash(config)
    assert await bench.read(global_register("CORES").address) == config.cores
    source = random.Random(cocotb.RANDOM_SEED)
    for address in range(0, 1 << control.ADDRESS_BITS, 4):
        response = await bench.bus.read(address, 4)
        spare = address == control.REGISTER_BASE  # R0 reads as zero
        good = address in known or spare
        assert (response.resp == AxiResp.OKAY) == good, f"{address:#x} answers {response.resp}"
        if good and not spare and known[address].access == "RW" and address != CONTROL:
            width = 8 if "BASE_HIGH" in known[address].name else 32
            value = source.getrandbits(width)
            await bench.write(address, value)
            assert await bench.read(address) == value, known[address].name
        elif address not in (CONTROL, STATUS):
            written = await bench.bus.write(address, b"\xff\xff\xff\xff")
            assert written.resp == AxiResp.SLVERR, f"{address:#x} took a write"


@cocotb.test
async def partial_writes(dut: Any) -> None:
    """A write without all four strobes is refused and changes nothing."""
    bench = Bench(dut)
    await bench.start()
    address = control.runtime_register_address(3)
    await bench.write(address, 0x12345678)
    assert (await bench.bus.write(address + 1, b"\xaa")).resp == AxiResp.SLVERR
    assert await bench.read(address) == 0x12345678


@cocotb.test
async def counters(dut: Any) -> None:
    """Every counter of every core is at its address."""
    bench = Bench(dut)
    await bench.start()
    cores = bench.config.cores
    dut.counters_i.value = sum((100 + i) << 32 * i for i in range(COUNTERS * cores))
    dut.fetched_i.value = sum((7 + core) << 32 * core for core in range(cores))
    dut.state_i.value = sum((70 + core) << 32 * core for core in range(cores))
    order: list[tuple[CoreRegister, Opcode | None]] = []
    for register in CoreRegister:
        if register >= CoreRegister.RETIRED:
            order += [(register, opcode) for opcode in Opcode] if register in control.PER_CLASS else [(register, None)]
    assert len(order) == COUNTERS
    for core in range(cores):
        for index, (register, opcode) in enumerate(order):
            found = await bench.read(control.core_address(core, register, opcode))
            assert found == 100 + core * COUNTERS + index, f"{register.name} {opcode}"
        assert await bench.read(control.core_address(core, CoreRegister.FETCHED)) == 7 + core
        assert await bench.read(control.core_address(core, CoreRegister.STATE)) == 70 + core


@cocotb.test
async def a_program(dut: Any) -> None:
    """Start resets the cores, runs, counts cycles, ends with done and an interrupt that is cleared."""
    bench = Bench(dut)
    await bench.start()
    reset = 0
    await bench.write(CONTROL, START | INTERRUPT)
    for _ in range(30):
        if dut.start_o.value:
            break
        reset += int(dut.core_rst_o.value)
        await RisingEdge(dut.clk_i)
    assert dut.start_o.value
    assert reset >= 4
    assert await bench.read(STATUS) == BUSY
    await ClockCycles(dut.clk_i, 50)
    dut.finished_i.value, dut.quiet_i.value = bench.everyone, 0
    await ClockCycles(dut.clk_i, 20)
    assert await bench.read(STATUS) == BUSY, "done with an open AXI port"
    dut.quiet_i.value = bench.everyone
    await ClockCycles(dut.clk_i, 5)
    assert dut.interrupt_o.value
    assert await bench.read(STATUS) == DONE
    cycles = await bench.read(global_register("CYCLES_LOW").address)
    assert 50 <= cycles < 70
    await bench.write(STATUS, DONE)
    await ClockCycles(dut.clk_i, 3)
    assert not dut.interrupt_o.value
    assert await bench.read(STATUS) == 0


@cocotb.test
async def all_cores_must_finish(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    if bench.config.cores == 1:
        return
    await bench.run()
    dut.finished_i.value = bench.everyone - 1
    await ClockCycles(dut.clk_i, 50)
    assert await bench.read(STATUS) == BUSY


@cocotb.test
async def errors(dut: Any) -> None:
    """The first error stays; the halt comes at once; a start is refused; a soft reset clears all."""
    bench = Bench(dut)
    await bench.start()
    core = bench.config.cores - 1
    for code, unit in itertools.product((ErrorCode.CHECKSUM, ErrorCode.WATCHDOG), (Opcode.LD, control.NO_CLASS)):
        await bench.run()
        dut.quiet_i.value = 0
        await bench.fail(core, code, unit, 0xABCD0000 + code)
        assert dut.halt_o.value
        assert dut.interrupt_o.value
        await bench.fail(0, ErrorCode.UNIT, Opcode.MISC, 1)
        assert await bench.read(ERROR) == code | core << 8 | unit << 16
        assert await bench.read(DETAIL) == 0xABCD0000 + code
        assert await bench.read(STATUS) == FAILED | BUSY
        dut.quiet_i.value = bench.everyone
        await ClockCycles(dut.clk_i, 5)
        assert await bench.read(STATUS) == FAILED
        await bench.write(CONTROL, START | INTERRUPT)
        await ClockCycles(dut.clk_i, 20)
        assert await bench.read(STATUS) == FAILED
        await bench.write(CONTROL, RESET | INTERRUPT)
        await ClockCycles(dut.clk_i, 30)
        assert await bench.read(CONTROL) == INTERRUPT
        assert await bench.read(STATUS) == 0
        assert await bench.read(ERROR) == 0
        assert not dut.halt_o.value
        assert not dut.interrupt_o.value


@cocotb.test
async def an_error_of_the_exchange(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    await bench.run()
    dut.x_error_code_i.value, dut.x_error_core_i.value, dut.x_error_detail_i.value = ErrorCode.EXCHANGE, 0, 2
    dut.x_error_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.x_error_i.value = 0
    await ClockCycles(dut.clk_i, 4)
    assert await bench.read(ERROR) == ErrorCode.EXCHANGE | Opcode.SYS << 16
    assert await bench.read(DETAIL) == 2


@cocotb.test
async def a_port_that_never_ends(dut: Any) -> None:
    """A soft reset gives up after the watchdog's time and says so."""
    bench = Bench(dut)
    await bench.start()
    await bench.run()
    dut.quiet_i.value = 0
    await bench.write(CONTROL, RESET)
    await ClockCycles(dut.clk_i, bench.config.watchdog_cycles // 2)
    assert await bench.read(CONTROL) & RESET
    await ClockCycles(dut.clk_i, bench.config.watchdog_cycles // 2 + 30)
    assert not await bench.read(CONTROL) & RESET
    assert await bench.read(STATUS) == ABANDONED
    await bench.write(STATUS, ABANDONED)
    assert await bench.read(STATUS) == 0


@cocotb.test
async def pauses_on_every_channel(dut: Any) -> None:
    """Writes and reads with a master that hesitates on all five channels."""
    bench = Bench(dut)
    await bench.start()
    source = random.Random(cocotb.RANDOM_SEED)

    def hesitate() -> Any:
        while True:
            yield source.random() < 0.5

    write, read = bench.bus.write_if, bench.bus.read_if
    for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
        channel.set_pause_generator(hesitate())
    values = {control.runtime_register_address(i): source.getrandbits(32) for i in range(1, REGISTERS)}
    for address, value in values.items():
        await bench.write(address, value)
    for address, value in values.items():
        assert await bench.read(address) == value
