"""Drives a pipelined unit with one set of operands a cycle and collects its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

Words = npt.NDArray[np.uint32]


async def stream(
    dut: Any, inputs: Mapping[str, Words], latency: int, enable: npt.NDArray[np.bool_] | None = None
) -> Words:
    """Results of the unit for `inputs` (one array per port), each exactly `latency` enabled cycles after its operands.

    `enable` is en_i cycle by cycle (repeated); in disabled cycles the operands are noise that must not be taken.
    """
    Clock(dut.clk_i, 10, unit="ns").start()
    # The clock rises at once, in the same instant as the first operands: what that edge samples is not defined.
    await RisingEdge(dut.clk_i)
    gated = hasattr(dut, "en_i")
    columns = [values.tolist() for values in inputs.values()]
    ports = [getattr(dut, name) for name in inputs]
    total = len(columns[0])
    pattern = enable.tolist() if enable is not None else [True]
    if not any(pattern):
        raise ValueError("the unit would never be enabled")
    results: list[int] = []
    taken = cycle = 0
    while taken < total + latency:
        on = pattern[cycle % len(pattern)]
        for port, values in zip(ports, columns, strict=True):
            port.value = values[min(taken, total - 1)] if on else (0x5A5A5A5A ^ cycle) & ((1 << len(port)) - 1)
        if gated:
            dut.en_i.value = int(on)
        await RisingEdge(dut.clk_i)
        # What is read here is the output before this edge.
        if on and taken >= latency:
            results.append(dut.y_o.value.to_unsigned())
        taken += on
        cycle += 1
    return np.array(results, np.uint32)


def compare(inputs: Mapping[str, Words], found: Words, expected: Words) -> None:
    """Fail with the first operands whose result differs."""
    assert found.size == expected.size, f"{found.size} results, expected {expected.size}"
    wrong = np.flatnonzero(found != expected)
    if wrong.size:
        i = int(wrong[0])
        operands = ", ".join(f"{name}={int(values[i]):08x}" for name, values in inputs.items())
        raise AssertionError(
            f"{wrong.size} of {found.size} differ, first at {i}: {operands}: found {int(found[i]):08x},"
            f" expected {int(expected[i]):08x}"
        )


def random_generator() -> np.random.Generator:
    """Seeded by cocotb's own seed, which a failure prints."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


def scaled(count: int) -> int:
    """`count` operands in a compiled simulator, a thirtieth of them in Icarus."""
    return count // 30 if cocotb.SIM_NAME.lower().startswith("icarus") else count
