"""Which code of a linear runs for which number of rows; what each computes, `test_linear_many_rows.py` checks."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from linear_cases import Case, lower, run, vnni_target
from tvm import te, tirx
from tvm.target import Target

from cosyn.codegen.tvm.arena_views import with_arena_views
from cosyn.codegen.tvm.kernel_listing import linear_forms
from cosyn.codegen.tvm.kernels.linear_few_rows import chosen_by_rows, forms_by_rows
from cosyn.codegen.tvm.kernels.packed_weight import f32
from cosyn.codegen.tvm.kernels.row_forms import RowForms, row_forms


@pytest.fixture(scope="module")
def target() -> Target:
    return vnni_target()


def test_the_first_function_for_enough_rows_runs(target: Target) -> None:
    x = te.placeholder((tirx.Var("seq", "int64"), 16), "float32", name="x")

    def adds(number: int) -> tirx.PrimFunc:
        y = te.compute(x.shape, lambda s, n: x(s, n) + f32(number), name=f"plus_{number}")
        return with_arena_views(te.create_prim_func([x, y]))

    function = chosen_by_rows(adds(3), [(2, adds(1)), (5, adds(2))])
    kernel = tvm.compile(tvm.IRModule({"main": function}), target)["main"]
    for rows in range(1, 9):
        (y,) = run(kernel, [np.zeros((rows, 16), np.float32)], (rows, 16))
        np.testing.assert_array_equal(y, 1 if rows <= 2 else 2 if rows <= 5 else 3)
    parts = [(first, last) for first, last, _ in forms_by_rows(function, 8)]
    assert parts == [(1, 2), (3, 5), (6, 8)]
    assert [(first, last) for first, last, _ in forms_by_rows(function, 4)] == [(1, 2), (3, 4)]
    assert [(first, last) for first, last, _ in forms_by_rows(adds(1), 4)] == [(1, 4)]


@pytest.mark.parametrize(
    ("stored", "activation", "few", "many"),
    [
        ("i8row:f32", "int8", [(1, 2)], "int8 microkernel of 4x4 vectors"),
        ("i4g32u8:f32", "int8", [(1, 2), (3, 16)], "int8 microkernel of 4x4 vectors"),
        ("i3g32u8:f32", "int8", [(1, 2)], "int8 microkernel of 4x4 vectors"),
        ("i4g32:f16", "float", [(1, 32)], "int16 microkernel of 4x4 vectors"),
        ("i3g32:f16", "float", [(1, 4)], "int16 microkernel of 4x4 vectors"),
        ("bf16", "float", [(1, 2), (3, 4)], "multiply-add"),
    ],
)
def test_few_rows_read_codes_as_they_are_stored(
    stored: str, activation: str, few: list[tuple[int, int]], many: str, target: Target
) -> None:
    case = Case(64, 96, stored, activation)
    function = lower(case.layout, None, target, form="cpu_vnni")
    code = "multiply-add" if stored == "bf16" else "VNNI dot products"
    expected = [(rows, f"gemv on few rows, {code}") for rows in few]
    assert linear_forms(function, 128) == [*expected, ((few[-1][1] + 1, 128), f"gemm, {many}")]


def test_the_neutral_form_serves_any_number() -> None:
    assert row_forms(Case(64, 96, "i4g32:f16", "int8").layout, "neutral") == RowForms()
