"""cocotb tests of cosyn_fp_add and cosyn_fp_add_gated."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.numerics import float32
from cosyn.rtl_testbench.floats.coverage import require, result_kinds, rounding_kinds
from cosyn.rtl_testbench.floats.operands import add_pairs, corner_pairs
from cosyn.rtl_testbench.floats.pipeline import Words, compare, random_generator, scaled, stream

LATENCY = 4


def _expected(a: Words, b: Words) -> Words:
    return float32.add(a.view(np.float32), b.view(np.float32)).view(np.uint32)


async def _check(dut: Any, a: Words, b: Words, enable: np.ndarray | None = None) -> None:
    inputs = {"a_i": a, "b_i": b}
    compare(inputs, await stream(dut, inputs, LATENCY, enable), _expected(a, b))


@cocotb.test
async def corners(dut: Any) -> None:
    await _check(dut, *corner_pairs())


@cocotb.test
async def random(dut: Any) -> None:
    a, b = add_pairs(random_generator(), scaled(150_000))
    require(result_kinds(_expected(a, b)), {"zero", "smallest", "normal", "largest", "negative"})
    # Exponents up to 27 apart: the double sum is exact.
    ties = slice(a.size // 2, a.size * 2 // 3)
    exact = a[ties].view(np.float32).astype(np.float64) + b[ties].view(np.float32)
    require(rounding_kinds(exact), {"exact", "tie_up", "tie_down", "up", "down"})
    await _check(dut, a, b)


@cocotb.test
async def every_alignment(dut: Any) -> None:
    """Each distance of exponents with equal and opposite signs, and mantissas at both ends."""
    cases = [
        (sign << 31 | 140 << 23 | high, 140 - distance << 23 | low)
        for distance in range(32)
        for sign in (0, 1)
        for high in (0, 1, 0x400000, 0x7FFFFE, 0x7FFFFF)
        for low in (0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFF)
    ]
    a, b = np.array(cases, np.uint32).T
    await _check(dut, np.concatenate([a, b]), np.concatenate([b, a]))


@cocotb.test
async def pauses(dut: Any) -> None:
    if not hasattr(dut, "en_i"):
        return
    generator = random_generator()
    a, b = add_pairs(generator, scaled(15_000))
    await _check(dut, a, b, generator.random(997) < 0.6)
