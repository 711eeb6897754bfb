"""Linears on any number of rows by AVX-512 VNNI, against float64 over the decoded weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ml_dtypes
import numpy as np
import pytest
from linear_cases import Array, Case, build, decoded, relative_error, rounding_error, run, vnni_target, weight_type
from tvm import te, tirx
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import has_bf16
from cosyn.codegen.tvm.kernels.linear_layout import layout_for
from cosyn.codegen.tvm.kernels.linear_many_rows import takes_many_rows
from cosyn.codegen.tvm.kernels.packing import pack
from cosyn.ir.weight_format import QuantizedWeight

ROWS = (*range(1, 10), 127, 128, 130)
IN_16_BITS = 4e-5
"""Relative error with activations in 16 bits: ten times the width of a code over that of the largest of a group."""


@pytest.fixture(scope="module")
def target() -> Target:
    return vnni_target()


def on_all_rows(case: Case, target: Target) -> Iterator[tuple[Array, Array, Array]]:
    """For each number of rows: what the form with VNNI gives, what the plain one does, and float64's result."""
    fast, plain = (build(case.layout, None, target, form=form) for form in ("cpu_vnni", "cpu"))
    for rows in ROWS:
        arrays, exact = case.inputs(rows)
        shape = (rows, case.layout.n)
        yield run(fast, arrays, shape)[0], run(plain, arrays, shape)[0], exact


@pytest.mark.parametrize("stored", ["i8row:f32", "u8row:f32"])
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080), (64, 8), (30, 4)])
def test_int8_activations_give_exact_sums(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored, "int8")
    for y, expected, exact in on_all_rows(case, target):
        np.testing.assert_array_equal(y, expected)
        assert relative_error(y, exact) < 1e-6


@pytest.mark.parametrize(
    "stored", ["i4g32u8:f32", "i3g32u8:f16", "i2g16u8:f32", "i4g32:f16", "u4g64:f16", "u5g32:bf16"]
)
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080), (30, 200)])
def test_int8_activations_on_codes_with_groups(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored, "int8")
    for y, expected, exact in on_all_rows(case, target):
        if case.layout.integer_scales:
            np.testing.assert_array_equal(y, expected)
        assert relative_error(y, exact) < 2e-6


@pytest.mark.parametrize(
    "stored",
    ["i4g32:f16", "u4g32:f16", "i4g128:f16", "i8g128:f16", "u8g32:f32", "i3g32:f32", "u5g32:bf16", "i8row:f32"],
)
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080)])
def test_float_activations(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored)
    kernel = build(case.layout, None, target, form="cpu_vnni")
    for rows in ROWS:
        arrays, _ = case.inputs(rows)
        (y,) = run(kernel, arrays, (rows, n))
        assert rounding_error(y, arrays[0], case) <= 1.0, rows


@pytest.mark.parametrize("stored", ["bf16", "f16", "f32"])
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080), (8, 33), (16, 2)])
def test_float_weights(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored)
    kernel = build(case.layout, None, target, form="cpu_vnni")
    for rows in ROWS:
        arrays, exact = case.inputs(rows)
        (y,) = run(kernel, arrays, (rows, n))
        assert relative_error(y, exact) < 1e-5, rows


@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080), (8, 33), (16, 2)])
def test_bf16_activations(n: int, k: int, target: Target) -> None:
    if not has_bf16(target):
        pytest.skip("this machine has no AVX-512 BF16")
    case = Case(n, k, "bf16")
    layout = layout_for(weight_type(n, k, "bf16"), "bf16")
    kernel = build(layout, None, target, form="cpu_bf16")
    for rows in ROWS:
        (x, *pieces), _ = case.inputs(rows)
        x = x.astype(ml_dtypes.bfloat16).astype(np.float32)
        (y,) = run(kernel, [x, *pieces], (rows, n))
        assert relative_error(y, x.astype(np.float64) @ decoded(case.weight).T) < 2e-6, rows


def test_the_widest_codes_do_not_overflow(target: Target) -> None:
    case = Case(16, 256, "u8g128:f32")
    assert takes_many_rows(case.layout, None)
    weight = case.weight
    assert isinstance(weight, QuantizedWeight)
    assert weight.zeros is not None
    weight.codes[:], weight.zeros[:] = 255, 0
    kernel = build(case.layout, None, target, form="cpu_vnni")
    x = np.ones((5, 256), np.float32)
    (y,) = run(kernel, [x, *pack(case.layout, weight).values()], (5, 16))
    assert relative_error(y, x.astype(np.float64) @ decoded(weight).T) < IN_16_BITS


@pytest.mark.parametrize("rows", [2, 7, 9])
@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e20])
def test_float_activations_of_any_size(scale: float, rows: int, target: Target) -> None:
    case = Case(64, 256, "i4g32:f16")
    arrays, _ = case.inputs(rows)
    arrays[0] = arrays[0] * np.float32(scale)
    (y,) = run(build(case.layout, None, target, form="cpu_vnni"), arrays, (rows, 64))
    assert relative_error(y, arrays[0].astype(np.float64) @ decoded(case.weight).T) < IN_16_BITS


@pytest.mark.parametrize("rows", [2, 7, 9])
def test_one_large_activation_costs_its_own_group_digits_only(rows: int, target: Target) -> None:
    case = Case(64, 256, "i4g32:f16")
    arrays, _ = case.inputs(rows)
    arrays[0][:, 5] = 3000.0
    assert isinstance(case.weight, QuantizedWeight)
    weight = decoded(case.weight)
    weight[:, :32] = 0.0
    case.weight.codes[:, :32] = 0
    arrays[1:] = pack(case.layout, case.weight).values()
    (y,) = run(build(case.layout, None, target, form="cpu_vnni"), arrays, (rows, 64))
    assert relative_error(y, arrays[0].astype(np.float64) @ weight.T) < IN_16_BITS


@pytest.mark.parametrize(
    ("stored", "activation"), [("i8row:f32", "int8"), ("i4g32u8:f32", "int8"), ("i4g32:f16", "float")]
)
@pytest.mark.parametrize("n", [64, 172, 7])
def test_elementwise_epilogues_are_fused(n: int, stored: str, activation: str, target: Target) -> None:
    case = Case(n, 64, stored, activation)

    def epilogue(y: te.Tensor) -> tuple[Sequence[te.Tensor], Sequence[te.Tensor]]:
        rows, columns = y.shape
        bias = te.placeholder((columns,), "float32", name="bias")
        residual = te.placeholder((rows, columns), "float32", name="residual")
        biased = te.compute((rows, columns), lambda i, j: y(i, j) + bias(j), name="biased")
        silu = te.compute((rows, columns), lambda i, j: biased(i, j) / (1.0 + tirx.exp(-biased(i, j))), name="silu")
        total = te.compute((rows, columns), lambda i, j: silu(i, j) + residual(i, j), name="total")
        return (bias, residual), (silu, total)

    kernel = build(case.layout, None, target, epilogue, form="cpu_vnni")
    for rows in (1, 2, 5, 19):
        arrays, exact = case.inputs(rows)
        rng = np.random.default_rng(1)
        bias = rng.standard_normal(n).astype(np.float32)
        residual = rng.standard_normal((rows, n)).astype(np.float32)
        found = run(kernel, [*arrays, bias, residual], (rows, n), (rows, n))
        biased = exact + bias
        silu = biased / (1 + np.exp(-biased))
        assert relative_error(found[0], silu) < 1e-4
        assert relative_error(found[1], silu + residual) < 1e-4
