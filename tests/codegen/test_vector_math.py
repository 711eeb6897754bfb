"""exp, erf, sine and cosine of row kernels against float64, and that they are vector instructions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from group_harness import Chain, step
from tvm import te

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features, vector_lanes
from cosyn.codegen.tvm.schedule_rows_cpu import schedule_rows
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.codegen.tvm.vector_math import with_vector_math
from cosyn.ir.ops.attention import RopeAttrs
from cosyn.ir.types import SEQ

F32 = npt.NDArray[np.float32]
X86_V4 = cpu_target(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx", "avx2", "fma", "f16c", "abm",
                     "bmi1", "bmi2", "movbe", "ssse3", "sse4_1", "sse4_2", "popcnt"], threads=2)  # fmt: skip


def through(function: Callable[[Any], Any], x: F32) -> F32:
    """`function` of each element by a scheduled row kernel."""
    rows = x.reshape(-1, 128 if len(x) > 128 else 16)
    given = te.placeholder(rows.shape, "float32", "x")
    schedule = tvm.s_tir.Schedule(
        te.create_prim_func([given, te.compute(rows.shape, lambda *i: function(given(*i)), name="y")])
    )
    target = cpu_target(host_features(), threads=2)
    schedule_rows(schedule, vector_lanes(target))
    kernel = build_cpu(tvm.IRModule({"main": with_vector_math(schedule.mod["main"])}), target)["main"]
    result = tvm.runtime.tensor(np.zeros_like(rows))
    kernel(tvm.runtime.tensor(rows), result)
    found: F32 = result.numpy().reshape(-1)
    return found


def test_exp_is_within_two_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-103, 88.7, 500_000), np.logspace(-30, 0, 12_000)]).astype(np.float32)
    want = np.exp(x.astype(np.float64))
    assert float(np.max(np.abs(through(tvm.tirx.exp, x) - want) / np.spacing(want.astype(np.float32)))) <= 2


def test_exp_saturates_and_keeps_nan() -> None:
    x = np.array([np.inf, 3e38, 100, 88.8, -104.1, -1e30, -np.inf, np.nan] * 8, np.float32)
    np.testing.assert_array_equal(
        through(tvm.tirx.exp, x), np.array([np.inf] * 4 + [0] * 3 + [np.nan], np.float32).tolist() * 8
    )


def test_erf_is_within_three_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-6, 6, 500_000), np.logspace(-30, 0, 12_000)]).astype(np.float32)
    want = np.array([math.erf(v) for v in x.tolist()])
    assert float(np.max(np.abs(through(tvm.tirx.erf, x) - want) / np.spacing(np.abs(want).astype(np.float32)))) <= 3


def test_erf_saturates_and_keeps_nan() -> None:
    x = np.array([np.inf, 3e38, 4.1, 0, -0.0, -5, -np.inf, np.nan] * 8, np.float32)
    np.testing.assert_array_equal(through(tvm.tirx.erf, x), [1, 1, 1, 0, 0, -1, -1, np.nan] * 8)


@pytest.mark.parametrize("position", [0, 1, 7, 2047, 60_000])
def test_rotary_tables_of_exact_angles(position: int) -> None:
    # Powers of two: the angle itself is exact in f32, so only sine and cosine can be off.
    frequencies = np.float32(2.0) ** -np.arange(16, dtype=np.float32)
    x = np.random.default_rng(position).standard_normal((1, 2, 32), np.float32)
    arrays = {"%x": x, "%p": np.array([position], np.int32), "@f": frequencies}
    chain = Chain(arrays, [step("r", "rope", "%x", "%p", "@f", attrs=RopeAttrs(32, False, 1.0))], SEQ)
    assert float(np.abs(chain.compiled(["%r"])[0] - chain.expected(["%r"])[0]).max()) < 3e-6 * max(1, position / 8192)


def test_functions_and_rounding_are_vector_instructions() -> None:
    shape = (4, 256)
    x = te.placeholder(shape, "float32", "x")
    y = te.compute(shape, lambda *i: tvm.tirx.nearbyint(tvm.tirx.exp(x(*i))) + tvm.tirx.erf(x(*i)), name="y")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([x, y]))
    _, inner = schedule.split(schedule.get_loops(schedule.get_sblock("y"))[-1], [None, 16])
    schedule.vectorize(inner)
    kernel = with_vector_math(schedule.mod["main"])
    assembly = tvm.compile(tvm.IRModule({"main": kernel}), X86_V4).mod.inspect_source("asm")
    assert "expf" not in assembly
    assert "erff" not in assembly
    assert "gather" not in assembly
    assert "vrndscaleps\t$12" in assembly
    assert "%zmm" in assembly
