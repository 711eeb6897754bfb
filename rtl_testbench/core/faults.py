"""cocotb tests of cosyn_accelerator: injected faults, each reported through the status and followed by a good run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model import control
from cosyn.accelerator_model.control import ErrorCode, global_register
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
from cosyn.rtl_testbench.core.host import (
    ABANDONED,
    BUSY,
    CONTROL,
    DONE,
    END,
    ERROR,
    FAILED,
    INTERRUPT,
    PROGRAM_BASE,
    START,
    STATUS,
    Bench,
    check_copies,
    copy_program,
    seed,
)
from cosyn.rtl_testbench.models.digest import step as digest_step


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
        await check_copies(bench)


def _everyone(bench: Bench, program: Sequence[Instruction | bytes], core: int) -> list[Sequence[Instruction | bytes]]:
    """`program` on one core, the copy on the others."""
    return [program if index == core else copy_program() for index in range(bench.config.cores)]


@cocotb.test
async def flipped_instruction_bit(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    core = bench.config.cores - 1
    data = bytearray(copy_program()[1].encode())
    data[20] ^= 4
    program: list[Instruction | bytes] = [copy_program()[0], bytes(data), END]
    detail = await _detects(bench, _everyone(bench, program, core), ErrorCode.INSTRUCTION_CRC, core, control.NO_CLASS)
    assert detail == 1
    await _recovers(bench)


@cocotb.test
async def flipped_weight_bit(dut: Any) -> None:
    bench = Bench(dut, seed())
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
    bench = Bench(dut, seed())
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
    bench = Bench(dut, seed())
    await bench.start()
    bench.reads.fail.add(35)
    await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.AXI_READ, 0, Opcode.LD)
    bench.reads.fail.clear()
    await _recovers(bench)


@cocotb.test
async def instruction_read_error(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    bench.programs.fail.add(PROGRAM_BASE // 16 + 4 + 2)
    detail = await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.AXI_READ, 0, control.NO_CLASS)
    assert detail == 1
    bench.programs.fail.clear()
    await _recovers(bench)


@cocotb.test
async def write_error(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    bench.writes.fail.add(512)
    await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.AXI_WRITE, 0, Opcode.ST)
    bench.writes.fail.clear()
    await _recovers(bench)


@cocotb.test
async def address_range(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    core, lines = bench.config.cores - 1, bench.config.vector_lines
    load = Load(target=LoadTarget.VECTOR, address=3, length=1, vector_line=lines - 1, release=mask(Opcode.ST))
    detail = await _detects(bench, _everyone(bench, [load, END], core), ErrorCode.ADDRESS_RANGE, core, Opcode.LD)
    assert detail == lines
    await _recovers(bench)


@cocotb.test
async def reads_blocked_for_ever(dut: Any) -> None:
    """The memory takes no address: the watchdog names LD; the reset has to abandon the pending AR."""
    bench = Bench(dut, seed())
    await bench.start()
    bench.reads.slow = lambda: True
    detail = await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.LD)
    assert detail >> 8 & 63 == mask(Opcode.LD)
    assert detail >> 16 & 63 == mask(Opcode.ST, Opcode.SYS)
    await _recovers(bench, abandoned=True)


@cocotb.test
async def read_data_late(dut: Any) -> None:
    """The memory keeps the data back, the watchdog fires, the data comes after all: the reset is clean."""
    bench = Bench(dut, seed())
    await bench.start()
    bench.reads.idle = lambda: True
    await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.LD)
    assert await bench.read(STATUS.address) & BUSY, "open reads are not reported as busy"
    bench.reads.idle = lambda: False
    await _recovers(bench)


@cocotb.test
async def writes_blocked_for_ever(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    bench.writes.slow = lambda: True
    await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.ST)
    await _recovers(bench, abandoned=True)


@cocotb.test
async def instruction_memory_silent(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    bench.programs.idle = lambda: True
    await _detects(bench, [copy_program()] * bench.config.cores, ErrorCode.WATCHDOG, 0, control.NO_CLASS)
    bench.programs.idle = lambda: False
    await _recovers(bench)


@cocotb.test
async def tokens_that_never_come(dut: Any) -> None:
    """A wait cycle in the program: the watchdog names the class whose head waits."""
    bench = Bench(dut, seed())
    await bench.start()
    program = [Store(mode=StoreMode.LINES, wait=mask(Opcode.MISC)), END]
    detail = await _detects(bench, [program] * bench.config.cores, ErrorCode.WATCHDOG, 0, Opcode.ST)
    assert detail == mask(Opcode.ST, Opcode.SYS) | mask(Opcode.ST, Opcode.SYS) << 16
    await _recovers(bench)


@cocotb.test
async def a_core_misses_the_barrier(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    if bench.config.cores == 1:
        return
    barrier = [System(operation=SystemOperation.BARRIER), System(operation=SystemOperation.DONE)]
    await _detects(bench, _everyone(bench, barrier, 1), ErrorCode.WATCHDOG, 1, Opcode.SYS)
    await _recovers(bench)
