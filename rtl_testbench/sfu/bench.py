"""cocotb tests of cosyn_sfu with its vector buffer."""

from __future__ import annotations

import random as random_module
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa.misc import Function, Misc, Operand, Output, Reduction
from cosyn.rtl_testbench.floats.operands import CORNERS, random_near
from cosyn.rtl_testbench.floats.pipeline import random_generator
from cosyn.rtl_testbench.runner import bench_config
from cosyn.rtl_testbench.sfu.driver import Driver
from cosyn.rtl_testbench.sfu.passes import LINES, covering_passes, random_pass

ICARUS = cocotb.SIM_NAME.lower().startswith("icarus")


def _values(lanes: int) -> np.ndarray:
    """Numbers around 1, some far away, some corners."""
    generator = random_generator()
    count = LINES * lanes
    values = random_near(generator, count, 118, 133)
    values[::13] = random_near(generator, values[::13].size, 40, 210)
    values[::29] = generator.choice(CORNERS, values[::29].size)
    result: np.ndarray = values.reshape(LINES, lanes)
    return result


async def _driver(dut: Any) -> Driver:
    config = bench_config()
    driver = Driver(dut, config)
    await driver.start(_values(config.lanes))
    return driver


@cocotb.test
@cocotb.parametrize(function=list(Function))
async def functions(dut: Any, function: Function) -> None:
    driver = await _driver(dut)
    lanes = bench_config().lanes
    item = Misc(function=function, rows=2, columns=5 * lanes, a_stride=5, output=Output.VECTOR, destination=40,
                destination_stride=5)  # fmt: skip
    await driver.run(item)
    await driver.check(item)


@cocotb.test
@cocotb.parametrize(reduction=list(Reduction), output=list(Output))
async def reductions(dut: Any, reduction: Reduction, output: Output) -> None:
    """One to nine lines in a row, so that partial sums are missing, forwarded and kept."""
    if not reduction and not output:
        return
    driver = await _driver(dut)
    lanes = bench_config().lanes
    for lines in range(1, 10):
        for rows in (1, 6):
            item = Misc(rows=rows, columns=lines * lanes, a=3, a_stride=lines, reduction=reduction, output=output,
                        reduce_to=300 * lanes + 1, destination=100, destination_stride=lines)  # fmt: skip
            await driver.run(item)
    await driver.check(item)


@cocotb.test
async def operands(dut: Any) -> None:
    """Every kind of operand in every place; a row of each is read at its own speed."""
    driver = await _driver(dut)
    lanes = bench_config().lanes
    kinds = list(Operand)[:: 2 if ICARUS else 1]
    for b in kinds:
        for c in kinds:
            for d in kinds:
                item = Misc(rows=3, columns=3 * lanes, a=7, a_stride=3, b_kind=b, b=20, b_stride=3, c_kind=c, c=50,
                            c_stride=0, d_kind=d, d=70, d_stride=4, c_negate=b % 2, immediate0=0.3, immediate1=-2.5,
                            output=Output.VECTOR, destination=200, destination_stride=3)  # fmt: skip
                await driver.run(item)
    await driver.check(item)


@cocotb.test
async def masks(dut: Any) -> None:
    """Valid columns from none to all, causal, windowed, with sinks; masked columns are 0 and in no maximum."""
    driver = await _driver(dut)
    lanes = bench_config().lanes
    for valid in range(0, 3 * lanes + 2, 5 if ICARUS else 1):
        for causal in (0, 1):
            for window, sinks in ((0, 0), (1, 0), (lanes, 0), (lanes + 2, 0), (1, 1), (lanes, lanes), (2, lanes + 3)):
                item = Misc(rows=4, columns=3 * lanes, a=7, a_stride=3, valid=valid, causal=causal, window=window,
                            sinks=sinks, reduction=Reduction.MAXIMUM, reduce_to=300 * lanes, output=Output.VECTOR,
                            destination=200, destination_stride=3)  # fmt: skip
                await driver.run(item)
                if valid % 8 == 0:
                    await driver.check(item)


@cocotb.test
async def nothing_counts(dut: Any) -> None:
    """A register that says 0 valid columns (unlike the field) leaves nothing to reduce."""
    driver = await _driver(dut)
    lanes = bench_config().lanes
    for reduction in list(Reduction)[1:]:
        item = Misc(rows=2, columns=2 * lanes, valid_reg=2, reduction=reduction, reduce_to=300 * lanes)
        await driver.run(item)
    await driver.check(item)


@cocotb.test
async def in_place(dut: Any) -> None:
    """A pass over its own operand, many lines, while writes are refused; then one that reads what it wrote."""
    driver = await _driver(dut)
    lanes = bench_config().lanes
    item = Misc(function=Function.RECIPROCAL, rows=6, columns=20 * lanes, a=10, a_stride=20, b_kind=Operand.VECTOR,
                b=10, b_stride=20, output=Output.VECTOR, destination=10, destination_stride=20)  # fmt: skip
    total = Misc(rows=120, columns=lanes, a=10, a_stride=1, reduction=Reduction.SUM, reduce_to=400 * lanes)
    for deny in (0, 128, 250):
        await driver.run(item, deny)
        await driver.run(total)
    await driver.check(item)


@cocotb.test
async def long_row(dut: Any) -> None:
    """400 lines: a line per cycle, and the write FIFO full while everything is refused for long."""
    driver = await _driver(dut)
    lanes = bench_config().lanes
    item = Misc(columns=200 * lanes, a=0, reduction=Reduction.SUM_SQUARES, reduce_to=500 * lanes, output=Output.VECTOR,
                destination=250)  # fmt: skip
    cycles = await driver.run(item)
    assert cycles < 200 + 100
    before = int(dut.waited_o.value)
    await driver.run(item, 200)
    assert int(dut.waited_o.value) > before, "coverage: the fetch never waited for the write FIFO"
    await driver.check(item)


@cocotb.test
async def many_results(dut: Any) -> None:
    """More row results than their FIFO holds while writes are refused."""
    driver = await _driver(dut)
    lanes = bench_config().lanes
    for reduction in (Reduction.SUM, Reduction.ABSOLUTE_MAXIMUM):
        item = Misc(rows=100, columns=lanes, a_stride=1, reduction=reduction, reduce_to=300 * lanes + 3)
        await driver.run(item)
        await driver.run(item, 252)
        await driver.check(item)


async def _refused(driver: Driver, item: Misc, code: ErrorCode) -> None:
    """The pass is reported with `code`, and still retires."""
    dut = driver.dut
    dut.misc_inst_i.value = int.from_bytes(item.encode(), "little")
    dut.misc_valid_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.misc_valid_i.value = 0
    for _ in range(2000):
        await RisingEdge(dut.clk_i)
        if dut.done_o.value == 1 and dut.misc_ready_o.value == 1:
            break
    else:
        raise AssertionError(f"no done: {item.assembly()}")
    assert int(dut.error_o.value) == code, f"error {int(dut.error_o.value)}, expected {code}: {item.assembly()}"


@cocotb.test
async def errors(dut: Any) -> None:
    """Accesses beyond the buffers, and passes of no size: reported, never a hang, and the next pass is right."""
    driver = await _driver(dut)
    config = bench_config()
    lanes, end = config.lanes, config.vector_lines
    size = {"rows": 2, "columns": 2 * lanes, "a_stride": 2}
    vector = {"output": Output.VECTOR, "destination_stride": 2}
    outside = [
        Misc(**size, **vector, a=end - 3),
        Misc(**size, **vector, a=(1 << 20) - 1),
        Misc(**size, **vector, b_kind=Operand.VECTOR, b=end - 3, b_stride=2),
        Misc(**size, **vector, c_kind=Operand.ROW, c=end * lanes - 1),
        Misc(**size, **vector, d_kind=Operand.VECTOR, d_stride=end),
        Misc(**size, **vector, destination=end - 3),
        Misc(**size, reduction=Reduction.SUM, reduce_to=end * lanes - 1),
        Misc(**size, output=Output.ACTIVATION, destination=config.activation_lines),
        Misc(**size, output=Output.ACTIVATION, destination_row=1022, destination_stride=(1 << 20) - 1),
    ]
    for item in outside:
        await _refused(driver, item, ErrorCode.ADDRESS_RANGE)
    for broken in (Misc(**{**size, "columns": 0}), Misc(**{**size, "columns": lanes + 1}), Misc(**{**size, "rows": 0})):
        await _refused(driver, broken, ErrorCode.UNIT)
    await driver.fill(_values(lanes))
    item = Misc(**size, a=9, output=Output.VECTOR, destination=30, destination_stride=2)
    await driver.run(item)
    await driver.check(item)


@cocotb.test
@cocotb.parametrize(deny=[0, 100, 230])
async def random(dut: Any, deny: int) -> None:
    """Random passes, one after the other, with no, some and most writes refused."""
    driver = await _driver(dut)
    config = bench_config()
    generator = random_module.Random(cocotb.RANDOM_SEED + deny)
    if ICARUS:
        passes = [random_pass(generator, config) for _ in range(12)]
    else:
        passes = covering_passes(generator, config, 400)
    for number, item in enumerate(passes):
        await driver.run(item, deny)
        if number % 16 == 15:
            await driver.check(item)
        if number % 100 == 99:
            await driver.fill(_values(config.lanes))
    await driver.check(passes[-1])
    if not ICARUS:
        assert bool(deny) == (int(dut.denied_o.value) > 0), "coverage: no write was refused"
