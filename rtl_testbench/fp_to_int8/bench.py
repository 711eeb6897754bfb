"""cocotb tests of cosyn_fp_to_int8."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.numerics import float32
from cosyn.rtl_testbench.floats.operands import CORNERS, random_bits, random_near
from cosyn.rtl_testbench.floats.pipeline import Words, compare, random_generator, scaled, stream

LATENCY = 2


async def _check(dut: Any, a: Words, enable: np.ndarray | None = None) -> None:
    expected = float32.to_int8(a.view(np.float32)).view(np.uint8).astype(np.uint32)
    compare({"a_i": a}, await stream(dut, {"a_i": a}, LATENCY, enable), expected)


@cocotb.test
async def ties_and_limits(dut: Any) -> None:
    """Every multiple of 1/4 in -130..130 with its neighbours, and the corners."""
    quarters = (np.arange(-520, 521) / np.float32(4)).astype(np.float32)
    around = [quarters, np.nextafter(quarters, np.float32(1e9)), np.nextafter(quarters, np.float32(-1e9))]
    await _check(dut, np.concatenate([*around, CORNERS.view(np.float32)]).view(np.uint32))


@cocotb.test
async def random(dut: Any) -> None:
    generator = random_generator()
    count = scaled(50_000)
    await _check(dut, np.concatenate([random_near(generator, count, 122, 136), random_bits(generator, count)]))


@cocotb.test
async def pauses(dut: Any) -> None:
    generator = random_generator()
    await _check(dut, random_near(generator, scaled(15_000), 122, 136), generator.random(997) < 0.6)
