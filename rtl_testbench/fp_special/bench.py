"""cocotb tests of cosyn_fp_special."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.isa.misc import Function
from cosyn.accelerator_model.numerics import float32, special
from cosyn.rtl_testbench.floats.operands import CORNERS, random_bits, random_near
from cosyn.rtl_testbench.floats.pipeline import Words, compare, random_generator, scaled, stream

LATENCY = 9

_FUNCTIONS: dict[Function, Callable[[Any], Any]] = {
    Function.IDENTITY: float32.normalise,
    Function.EXP: special.exp,
    Function.RECIPROCAL: special.reciprocal,
    Function.RSQRT: special.rsqrt,
    Function.RELU: special.relu,
}


async def _check(dut: Any, function: Function, a: Words, enable: np.ndarray | None = None) -> None:
    dut.function_i.value = int(function)
    expected = np.ascontiguousarray(_FUNCTIONS[function](a.view(np.float32))).view(np.uint32)
    compare({"a_i": a}, await stream(dut, {"a_i": a}, LATENCY, enable), expected)


@cocotb.test
@cocotb.parametrize(function=list(Function))
async def corners(dut: Any, function: Function) -> None:
    await _check(dut, function, CORNERS)


@cocotb.test
@cocotb.parametrize(function=list(Function))
async def every_exponent(dut: Any, function: Function) -> None:
    """Each exponent and sign with mantissas at the ends and in the middle."""
    mantissas = np.array([0, 1, 0x3FFFFF, 0x400000, 0x7FFFFE, 0x7FFFFF], np.uint32)
    upper = np.arange(512, dtype=np.uint32) << np.uint32(23)
    await _check(dut, function, (upper[:, None] | mantissas).reshape(-1))


@cocotb.test
@cocotb.parametrize(function=[Function.RECIPROCAL, Function.RSQRT])
async def segment_ends(dut: Any, function: Function) -> None:
    """First and last mantissas of every segment, for an even and an odd exponent."""
    starts = np.arange(64, dtype=np.uint32) << np.uint32(17)
    offsets = np.array([0, 1, 2, 0x0FFFF, 0x10000, 0x1FFFE, 0x1FFFF], np.uint32)
    bits = (starts[:, None] | offsets).reshape(-1)
    await _check(dut, function, np.concatenate([bits | np.uint32(e << 23) for e in (127, 128, 1, 254)]))


@cocotb.test
async def exp_segment_ends(dut: Any) -> None:
    """Arguments on both sides of every n/64 of the exponent of two."""
    steps = (np.arange(-64 * 12, 64 * 12) / 64 / np.log2(np.e)).astype(np.float32)
    around = [steps, np.nextafter(steps, np.float32(1e9)), np.nextafter(steps, np.float32(-1e9))]
    await _check(dut, Function.EXP, np.concatenate(around).view(np.uint32))


@cocotb.test
@cocotb.parametrize(function=list(Function))
async def random(dut: Any, function: Function) -> None:
    generator = random_generator()
    count = scaled(25_000)
    near = random_near(generator, count, 105, 134)
    await _check(dut, function, np.concatenate([near, random_bits(generator, count)]))


@cocotb.test
@cocotb.parametrize(function=[Function.EXP, Function.RSQRT, Function.RELU])
async def pauses(dut: Any, function: Function) -> None:
    generator = random_generator()
    await _check(dut, function, random_near(generator, scaled(6_000), 110, 134), generator.random(997) < 0.6)
