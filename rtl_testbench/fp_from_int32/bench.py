"""cocotb tests of cosyn_fp_from_int32."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.numerics import float32
from cosyn.rtl_testbench.floats.coverage import require, rounding_kinds
from cosyn.rtl_testbench.floats.pipeline import Words, compare, random_generator, scaled, stream

LATENCY = 2


async def _check(dut: Any, a: Words) -> None:
    expected = float32.from_int32(a.view(np.int32)).view(np.uint32)
    compare({"a_i": a}, await stream(dut, {"a_i": a}, LATENCY), expected)


@cocotb.test
async def every_magnitude(dut: Any) -> None:
    """0, ±(2^n - 1), ±2^n, ±(2^n + 1), ±2^n ± what rounds to the last place, and the ends of the range."""
    values = [0, -(1 << 31), (1 << 31) - 1]
    for n in range(31):
        for offset in {0, 1, -1, 1 << max(n - 24, 0), 3 << max(n - 24, 0), (1 << max(n - 24, 0)) + 1}:
            values += [(1 << n) + offset, -(1 << n) - offset]
    clipped = np.clip(np.array(values, np.int64), -(1 << 31), (1 << 31) - 1)
    await _check(dut, clipped.astype(np.int32).view(np.uint32))


@cocotb.test
async def random(dut: Any) -> None:
    generator = random_generator()
    count = scaled(100_000)
    wide = generator.integers(-(1 << 31), 1 << 31, count, np.int64)
    values = (wide >> generator.integers(0, 32, count)).astype(np.int32)
    require(rounding_kinds(values.astype(np.float64)), {"exact", "tie_up", "tie_down", "up", "down"})
    await _check(dut, values.view(np.uint32))
