"""What the benches of the adder and of the multiplier share: a pipelined unit from two float32 numbers to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.numerics.float32 import F32
from cosyn.rtl_testbench.floats.operands import corner_pairs
from cosyn.rtl_testbench.floats.pipeline import Words, compare, random_generator, scaled, stream


@dataclass(frozen=True, slots=True)
class PairUnit:
    """Ports a_i, b_i and y_o; `reference` of what was there `latency` enabled cycles before."""

    latency: int
    reference: Callable[[F32, F32], F32]

    def expected(self, a: Words, b: Words) -> Words:
        """Bits of the results."""
        return self.reference(a.view(np.float32), b.view(np.float32)).view(np.uint32)

    async def check(self, dut: Any, a: Words, b: Words, enable: npt.NDArray[np.bool_] | None = None) -> None:
        """Fail with the first pair whose result differs; `enable` as in `stream`."""
        inputs = {"a_i": a, "b_i": b}
        compare(inputs, await stream(dut, inputs, self.latency, enable), self.expected(a, b))

    async def check_corners(self, dut: Any) -> None:
        """Every pair of the numbers at which something changes."""
        await self.check(dut, *corner_pairs())

    async def check_pauses(self, dut: Any, pairs: Callable[[np.random.Generator, int], tuple[Words, Words]]) -> None:
        """Random `pairs` with the enable off in two of five cycles, where the unit has one."""
        if hasattr(dut, "en_i"):
            generator = random_generator()
            a, b = pairs(generator, scaled(15_000))
            await self.check(dut, a, b, generator.random(997) < 0.6)
