"""Scratch memory of a kernel: what is small stays on the stack, what is large comes from the workspace."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from linear_cases import Case, lower
from tvm import s_tir, te

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.codegen.tvm.kernels.attend import schedule_attend_cpu
from cosyn.codegen.tvm.kernels.attend_cpu import attend_cpu_prim_func
from cosyn.codegen.tvm.kernels.linear_schedule_cpu import linear_form
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttendAttrs

ALLOCATION = "AllocWorkspace"
TARGET = cpu_target(host_features(), threads=2)


def assembly(module: tvm.IRModule) -> str:
    return str(build_cpu(module, TARGET).mod.inspect_source("asm"))


@pytest.mark.parametrize(
    ("stored", "activation"),
    [("bf16", "float"), ("i8row:f32", "int8"), ("i4g32u8:f32", "int8"), ("i4g32:f16", "float"),
     ("i3g128:f16", "float")],
)  # fmt: skip
def test_a_linear_of_one_row_allocates_nothing(stored: str, activation: str) -> None:
    function = lower(Case(192, 256, stored, activation).layout, 1, TARGET, form=linear_form(TARGET))
    assert ALLOCATION not in assembly(tvm.IRModule({"main": function}))


def test_attention_of_one_token_allocates_nothing() -> None:
    state, attrs = KVState("s", 4, 64, DType.F16), AttendAttrs(scale=0.125, n_kv_heads=4, v_dim=64)
    schedule = s_tir.Schedule(attend_cpu_prim_func(attrs, state, 32, seq=1))
    schedule_attend_cpu(schedule)
    assert ALLOCATION not in assembly(schedule.mod)


def test_what_is_large_is_not_on_the_stack() -> None:
    rows, columns = 100, 1000
    x = te.placeholder((rows, columns), "float32", "x")
    doubled = te.compute((rows, columns), lambda i, j: x(i, j) * 2.0, "doubled")
    back = te.compute((rows, columns), lambda i, j: doubled(rows - 1 - i, columns - 1 - j), "back")
    module = tvm.IRModule({"main": te.create_prim_func([x, back])})
    assert ALLOCATION in assembly(module)
    given = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    result = tvm.runtime.tensor(np.zeros_like(given))
    build_cpu(module, TARGET)["main"](tvm.runtime.tensor(given), result)
    assert np.array_equal(result.numpy(), 2 * given[::-1, ::-1])
