"""cocotb tests of cosyn_fp_add and cosyn_fp_add_gated."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.numerics import float32
from cosyn.rtl_testbench.floats.coverage import require, result_kinds, rounding_kinds
from cosyn.rtl_testbench.floats.operands import add_pairs
from cosyn.rtl_testbench.floats.pair_unit import PairUnit
from cosyn.rtl_testbench.floats.pipeline import random_generator, scaled

UNIT = PairUnit(4, float32.add)


@cocotb.test
async def corners(dut: Any) -> None:
    await UNIT.check_corners(dut)


@cocotb.test
async def random(dut: Any) -> None:
    a, b = add_pairs(random_generator(), scaled(150_000))
    require(result_kinds(UNIT.expected(a, b)), {"zero", "smallest", "normal", "largest", "negative"})
    # Exponents up to 27 apart: the double sum is exact.
    ties = slice(a.size // 2, a.size * 2 // 3)
    exact = a[ties].view(np.float32).astype(np.float64) + b[ties].view(np.float32)
    require(rounding_kinds(exact), {"exact", "tie_up", "tie_down", "up", "down"})
    await UNIT.check(dut, a, b)


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
    await UNIT.check(dut, np.concatenate([a, b]), np.concatenate([b, a]))


@cocotb.test
async def pauses(dut: Any) -> None:
    await UNIT.check_pauses(dut, add_pairs)
