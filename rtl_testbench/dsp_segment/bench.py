"""cocotb tests of cosyn_dsp_segment."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

LENGTH = int(os.environ["SEGMENT_LENGTH"])
LATENCY = LENGTH + 3
COUNT = 300 if cocotb.SIM_NAME.lower().startswith("icarus") else 3000


def _word(values: NDArray[np.int64]) -> int:
    return int.from_bytes(values.astype(np.int8).tobytes(), "little")


def _field(value: int) -> int:
    return value - (1 << 18) if value >> 17 else value


async def _stream(dut: Any, operands: NDArray[np.int64], enable: float = 1.0) -> set[str]:
    """`operands` [count, (high, low, common), length], one set an enabled cycle; the coverpoints met."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    Clock(dut.clk_i, 10, unit="ns").start()
    met: set[str] = set()
    expected = np.einsum("nik,nk->ni", operands[:, :2], operands[:, 2])
    dut.en_i.value = taken = 0
    await RisingEdge(dut.clk_i)
    while taken < len(operands) + LATENCY:
        on = bool(rng.random() < enable)
        high, low, common = operands[min(taken, len(operands) - 1)]
        dut.en_i.value = int(on)
        dut.high_i.value, dut.low_i.value, dut.common_i.value = _word(high), _word(low), _word(common)
        await RisingEdge(dut.clk_i)
        if on and taken >= LATENCY:
            index = taken - LATENCY
            found = (_field(dut.high_o.value.to_unsigned()), _field(dut.low_o.value.to_unsigned()))
            assert found == tuple(expected[index]), f"set {index}: {found}, expected {tuple(expected[index])}"
            met |= _points(*expected[index])
        taken += on
    return met


def _points(high: int, low: int) -> set[str]:
    points = {f"high_{'negative' if high < 0 else 'positive'}_low_{'borrows' if low < 0 else 'positive'}"}
    if low == LENGTH * 127 * 128 or low == -LENGTH * 127 * 128:
        points.add("low_largest" if low > 0 else "low_smallest")
    if high == LENGTH * 127 * 128 or high == -LENGTH * 127 * 128:
        points.add("high_largest" if high > 0 else "high_smallest")
    return points


@cocotb.test
async def extremes(dut: Any) -> None:
    """Pairs of -128, -1, 0, 1, 127 with common operands of -127 and 127, alone and in all DSPs at once."""
    pairs = (-128, -127, -1, 0, 1, 127)
    sets = []
    for common in (-127, -1, 0, 1, 127):
        for high in pairs:
            for low in pairs:
                sets.append([[high] * LENGTH, [low] * LENGTH, [common] * LENGTH])
                one = np.zeros((3, LENGTH), np.int64)
                one[:, LENGTH - 1] = high, low, common
                sets.append(one.tolist())
    met = await _stream(dut, np.array(sets))
    wanted = {f"high_{h}_low_{n}" for h in ("negative", "positive") for n in ("borrows", "positive")}
    wanted |= {"low_largest", "low_smallest", "high_largest", "high_smallest"}
    assert wanted <= met, f"coverage: missing {sorted(wanted - met)}"


@cocotb.test
@cocotb.parametrize(enable=[1.0, 0.6])
async def random_operands(dut: Any, enable: float) -> None:
    """A set every enabled cycle."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    operands = rng.integers(-128, 128, (COUNT, 3, LENGTH))
    operands[:, 2] = operands[:, 2].clip(-127)
    await _stream(dut, operands, enable)
