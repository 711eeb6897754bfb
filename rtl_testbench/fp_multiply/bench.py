"""cocotb tests of cosyn_fp_multiply and cosyn_fp_multiply_gated."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.numerics import float32
from cosyn.rtl_testbench.floats.coverage import require, result_kinds, rounding_kinds
from cosyn.rtl_testbench.floats.operands import multiply_pairs
from cosyn.rtl_testbench.floats.pair_unit import PairUnit
from cosyn.rtl_testbench.floats.pipeline import random_generator, scaled

UNIT = PairUnit(3, float32.multiply)


@cocotb.test
async def corners(dut: Any) -> None:
    await UNIT.check_corners(dut)


@cocotb.test
async def random(dut: Any) -> None:
    a, b = multiply_pairs(random_generator(), scaled(150_000))
    require(result_kinds(UNIT.expected(a, b)), {"zero", "smallest", "normal", "largest"})
    exact = a.view(np.float32).astype(np.float64) * b.view(np.float32).astype(np.float64)
    require(rounding_kinds(exact), {"exact", "tie_up", "tie_down", "up", "down"})
    await UNIT.check(dut, a, b)


@cocotb.test
async def pauses(dut: Any) -> None:
    await UNIT.check_pauses(dut, multiply_pairs)
