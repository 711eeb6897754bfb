"""cocotb tests of cosyn_accelerator: programs of LD, ST and SYS on all cores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model import control
from cosyn.accelerator_model.control import global_register
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
    DONE,
    END,
    STATUS,
    Bench,
    check_copies,
    seed,
)


@cocotb.test
async def copy(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    await check_copies(bench)
    await bench.write(STATUS.address, DONE)
    assert await bench.read(STATUS.address) == 0
    await bench.step()
    assert not dut.interrupt_o.value
    await check_copies(bench)


@cocotb.test
async def copy_with_pauses(dut: Any) -> None:
    bench = Bench(dut, seed(), 0.4)
    await bench.start()
    await check_copies(bench)


@cocotb.test
async def exchange(dut: Any) -> None:
    """Every core loads its slice, all exchange, every core stores the whole vector."""
    bench = Bench(dut, seed())
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


@cocotb.test
async def registers(dut: Any) -> None:
    bench = Bench(dut, seed())
    await bench.start()
    assert await bench.read(global_register("ID").address) == control.IDENTITY
    assert await bench.read(global_register("CORES").address) == bench.config.cores
    for index in range(1, 16):
        await bench.write(control.runtime_register_address(index), 0x1010101 * index)
    for index in range(1, 16):
        assert await bench.read(control.runtime_register_address(index)) == 0x1010101 * index
