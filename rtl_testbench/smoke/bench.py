"""cocotb tests of cosyn_smoke."""

from __future__ import annotations

import os
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.rtl_testbench.runner import bench_config

SEED = cocotb.RANDOM_SEED
"""That of the run: inside a test, cocotb adds the test's name to it."""


async def _reset(dut: Any) -> None:
    Clock(dut.clk_i, 10, unit="ns").start()
    dut.rst_i.value, dut.valid_i.value, dut.data_i.value = 1, 0, 0
    await RisingEdge(dut.clk_i)
    await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0


@cocotb.test
async def adds_while_valid(dut: Any) -> None:
    await _reset(dut)
    for value in range(10):
        dut.valid_i.value, dut.data_i.value = value % 2, value
        await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0
    await RisingEdge(dut.clk_i)
    assert dut.sum_o.value.to_unsigned() == sum(range(1, 10, 2))


@cocotb.test
async def has_the_configuration(dut: Any) -> None:
    await _reset(dut)
    await RisingEdge(dut.clk_i)
    assert dut.lanes_o.value.to_unsigned() == bench_config().lanes
    assert len(dut.data_i) == int(os.environ["SMOKE_WIDTH"])


@cocotb.test(skip="SMOKE_FAILS" not in os.environ)
async def fails_on_purpose(dut: Any) -> None:
    await _reset(dut)
    await RisingEdge(dut.clk_i)
    assert dut.sum_o.value.to_unsigned() == 77, f"with seed {SEED}"
