"""cocotb tests of cosyn_fp_multiply and cosyn_fp_multiply_gated."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.numerics import float32
from cosyn.rtl_testbench.floats.coverage import require, result_kinds, rounding_kinds
from cosyn.rtl_testbench.floats.operands import corner_pairs, multiply_pairs
from cosyn.rtl_testbench.floats.pipeline import Words, compare, random_generator, scaled, stream

LATENCY = 3


def _expected(a: Words, b: Words) -> Words:
    return float32.multiply(a.view(np.float32), b.view(np.float32)).view(np.uint32)


async def _check(dut: Any, a: Words, b: Words, enable: np.ndarray | None = None) -> None:
    inputs = {"a_i": a, "b_i": b}
    compare(inputs, await stream(dut, inputs, LATENCY, enable), _expected(a, b))


@cocotb.test
async def corners(dut: Any) -> None:
    await _check(dut, *corner_pairs())


@cocotb.test
async def random(dut: Any) -> None:
    a, b = multiply_pairs(random_generator(), scaled(150_000))
    require(result_kinds(_expected(a, b)), {"zero", "smallest", "normal", "largest"})
    exact = a.view(np.float32).astype(np.float64) * b.view(np.float32).astype(np.float64)
    require(rounding_kinds(exact), {"exact", "tie_up", "tie_down", "up", "down"})
    await _check(dut, a, b)


@cocotb.test
async def pauses(dut: Any) -> None:
    if not hasattr(dut, "en_i"):
        return
    generator = random_generator()
    a, b = multiply_pairs(generator, scaled(15_000))
    await _check(dut, a, b, generator.random(997) < 0.6)
