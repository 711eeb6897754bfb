"""Linear kernels on this CPU against float64 over the decoded weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from linear_cases import Case, build, relative_error, run
from tvm import te, tirx
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.ir.weight_format import QuantizedWeight

FORMATS = [
    ("f32", "float"), ("f16", "float"), ("bf16", "float"),
    ("i4g32:f16", "float"), ("i4g128:f16", "float"), ("u4g32:f16", "float"), ("i8g128:f16", "float"),
    ("i3g32:f32", "float"), ("u5g32:bf16", "float"), ("i8row:f32", "float"),
    ("i8row:f32", "int8"), ("i4g32:f16", "int8"), ("u4g32:f16", "int8"), ("i2g32:f16", "int8"),
    ("u7row:f32", "int8"), ("i4g32u8:f32", "int8"), ("i4g128u8:f32", "int8"), ("i2g32u8:f32", "int8"),
    ("i3g32u8:f32", "int8"), ("u3g32:f16", "int8"),
]  # fmt: skip
FEW = [("f32", "float"), ("i4g32:f16", "float"), ("i8row:f32", "int8")]
SHAPES = [(1, 1), (7, 33), (33, 7), (64, 64), (172, 172), (1, 2048), (172, 64)]


@pytest.fixture(scope="module")
def target() -> Target:
    return cpu_target(host_features(), 2)


@pytest.mark.parametrize(("stored", "activation"), FORMATS)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_one_row(n: int, k: int, stored: str, activation: str, target: Target) -> None:
    case = Case(n, k, stored, activation)
    arrays, exact = case.inputs(1)
    (y,) = run(build(case.layout, 1, target), arrays, (1, n))
    assert relative_error(y, exact) < 1e-5


@pytest.mark.parametrize(("stored", "activation"), FORMATS)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (33, 7), (172, 172), (64, 288)])
def test_any_number_of_rows(n: int, k: int, stored: str, activation: str, target: Target) -> None:
    case = Case(n, k, stored, activation)
    kernel = build(case.layout, None, target)
    for rows in (1, 2, 3, 7, 33, 128):
        arrays, exact = case.inputs(rows)
        (y,) = run(kernel, arrays, (rows, n))
        assert relative_error(y, exact) < 1e-5, rows


@pytest.mark.parametrize(("stored", "activation"), FEW)
@pytest.mark.parametrize("rows", [2, 3, 9])
def test_a_static_number_of_rows(rows: int, stored: str, activation: str, target: Target) -> None:
    case = Case(100, 64, stored, activation)
    arrays, exact = case.inputs(rows)
    (y,) = run(build(case.layout, rows, target), arrays, (rows, 100))
    assert relative_error(y, exact) < 1e-5


@pytest.mark.parametrize(("stored", "activation"), FORMATS)
def test_the_neutral_form_means_the_same(stored: str, activation: str, target: Target) -> None:
    case = Case(40, 96, stored, activation)
    arrays, exact = case.inputs(3)
    (y,) = run(build(case.layout, None, target, form="neutral"), arrays, (3, 40))
    assert relative_error(y, exact) < 1e-5


@pytest.mark.parametrize("stored", ["i4g32u8:f32", "i4g128u8:f32", "i3g128u8:f32", "i2g32u8:f32", "i4g16u8.8of16:f32"])
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080), (64, 256), (40, 100)])
def test_integer_scales_give_the_sums_of_expanded_codes(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored, "int8")
    assert isinstance(case.weight, QuantizedWeight)
    expanded = case.weight.expanded()
    row_scales = expanded.scales[:, 0].astype(np.float32)
    for seq in (1, None):
        kernel = build(case.layout, seq, target)
        for rows in [1] if seq else [1, 2, 3, 5, 8, 13]:
            arrays, _ = case.inputs(rows)
            x, x_scales = arrays[:2]
            sums = x.astype(np.int64) @ expanded.codes.astype(np.int64).T
            (y,) = run(kernel, arrays, (rows, n))
            np.testing.assert_array_equal(y, sums.astype(np.float32) * row_scales * x_scales)


def test_f32_agrees_with_float64_over_a_long_row(target: Target) -> None:
    case = Case(64, 4096, "f32")
    arrays, exact = case.inputs(1)
    (y,) = run(build(case.layout, 1, target), arrays, (1, 64))
    assert relative_error(y, exact) < 1e-5


@pytest.mark.parametrize("seq", [1, None])
@pytest.mark.parametrize("n", [64, 172, 7])
@pytest.mark.parametrize(("stored", "activation"), FEW)
def test_elementwise_epilogues_are_fused(stored: str, activation: str, n: int, seq: int | None, target: Target) -> None:
    case = Case(n, 64, stored, activation)

    def epilogue(y: te.Tensor) -> tuple[Sequence[te.Tensor], Sequence[te.Tensor]]:
        rows, columns = y.shape
        bias = te.placeholder((columns,), "float32", name="bias")
        residual = te.placeholder((rows, columns), "float32", name="residual")
        biased = te.compute((rows, columns), lambda i, j: y(i, j) + bias(j), name="biased")
        silu = te.compute((rows, columns), lambda i, j: biased(i, j) / (1.0 + tirx.exp(-biased(i, j))), name="silu")
        total = te.compute((rows, columns), lambda i, j: silu(i, j) + residual(i, j), name="total")
        return (bias, residual), (silu, total)

    kernel = build(case.layout, seq, target, epilogue)
    for rows in [1] if seq else [1, 5, 19]:
        arrays, exact = case.inputs(rows)
        rng = np.random.default_rng(1)
        bias = rng.standard_normal(n).astype(np.float32)
        residual = rng.standard_normal((rows, n)).astype(np.float32)
        found = run(kernel, [*arrays, bias, residual], (rows, n), (rows, n))
        biased = exact + bias
        silu = biased / (1 + np.exp(-biased))
        assert relative_error(found[0], silu) < 1e-5
        assert relative_error(found[1], silu + residual) < 1e-5


def test_avx2_gives_the_same_results(target: Target) -> None:
    if "avx2" not in host_features():
        pytest.skip("this machine has no AVX2")
    narrow = cpu_target({f for f in host_features() if "512" not in f}, 2)
    for stored, activation in (
        ("i4g32:f16", "float"),
        ("bf16", "float"),
        ("i8row:f32", "int8"),
        ("i4g16u8:f32", "int8"),
    ):
        case = Case(96, 176, stored, activation)
        for seq, rows in ((1, 1), (None, 9)):
            arrays, exact = case.inputs(rows)
            (y,) = run(build(case.layout, seq, narrow), arrays, (rows, 96))
            assert relative_error(y, exact) < 1e-5
            if activation == "int8":
                (wide,) = run(build(case.layout, seq, target), arrays, (rows, 96))
                np.testing.assert_array_equal(y, wide)
