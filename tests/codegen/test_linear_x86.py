"""Linears for x86-64 with less than AVX-512 VNNI: every number of rows, against float64 over the decoded weights."""

from __future__ import annotations

import numpy as np
import pytest
from linear_cases import Array, Case, build, lower, relative_error, rounding_error, run
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import cpu_target, has_avx_vnni, host_features
from cosyn.codegen.tvm.kernel_listing import linear_forms
from cosyn.codegen.tvm.kernels.linear import Form
from cosyn.codegen.tvm.kernels.linear_schedule_cpu import linear_form
from cosyn.codegen.tvm.kernels.packing import pack
from cosyn.ir.weight_format import QuantizedWeight
from cosyn.targets import load_target

V3 = tuple(load_target("cpu:avx2").features)
V4 = ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
ROWS = (1, 2, 3, 4, 5, 8, 17, 33)


def avx2() -> Target:
    """AVX2 without any dot product of bytes: x86-64 until about 2021."""
    return cpu_target({f for f in host_features() if "512" not in f and "vnni" not in f}, 2)


def avx512() -> Target:
    """AVX-512 of Skylake-X, without VNNI."""
    host = host_features()
    if "avx512bw" not in host:
        pytest.skip("this machine has no AVX-512")
    return cpu_target({f for f in host if f not in ("avx512_vnni", "avx512_bf16", "avx_vnni")}, 2)


def avx_vnni() -> Target:
    """AVX-VNNI, where need be as code of the same instructions in the encoding of AVX-512, which LLVM then takes."""
    host = host_features()
    if "avx_vnni" in host:
        return cpu_target({f for f in host if "512" not in f}, 2)
    if "avx512_vnni" not in host:
        pytest.skip("this machine has neither AVX-VNNI nor AVX-512 VNNI")
    features = ["+avxvnni", "-avxvnni", "+avx512f", "+avx512vl", "+avx512vnni"]
    return Target(
        {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v3", "mattr": features, "num-cores": 2}
    )


@pytest.fixture(scope="module", params=[avx2, avx512, avx_vnni], ids=lambda made: made.__name__)
def target(request: pytest.FixtureRequest) -> Target:
    if "avx2" not in host_features():
        pytest.skip("this machine has no AVX2")
    made: Target = request.param()
    return made


def on_all_rows(case: Case, target: Target) -> list[tuple[Array, list[Array], Array]]:
    """For each number of rows: the result, the inputs and float64's result; one row by the kernel for one as well."""
    form = linear_form(target)
    one, many = build(case.layout, 1, target, form=form), build(case.layout, None, target, form=form)
    found = []
    for kernel, rows in ((one, 1), *((many, rows) for rows in ROWS)):
        arrays, exact = case.inputs(rows)
        found.append((run(kernel, arrays, (rows, case.layout.n))[0], arrays, exact))
    return found


@pytest.mark.parametrize(
    ("features", "form"),
    [
        ((), "cpu_madd"),
        (("avx_vnni",), "cpu_avx_vnni"),
        # Without the rest of AVX-512.
        (("avx512_vnni", "avx512_bf16"), "cpu_madd"),
        (V4, "cpu_madd"),
        ((*V4, "avx512_vnni"), "cpu_vnni"),
        ((*V4, "avx512_vnni", "avx512_bf16"), "cpu_bf16"),
    ],
)
def test_the_form_follows_the_features(features: tuple[str, ...], form: Form) -> None:
    made = cpu_target([*V3, *features], 2)
    assert linear_form(made) == form
    assert has_avx_vnni(made) == ("avx_vnni" in features)


@pytest.mark.parametrize(
    "stored", ["i8row:f32", "u8row:f32", "i4g32u8:f32", "i3g32u8:f16", "i2g16u8:f32", "u5g32:bf16"]
)
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (33, 64), (65, 2080), (30, 4)])
def test_int8_activations_give_exact_sums(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored, "int8")
    for y, _, exact in on_all_rows(case, target):
        assert relative_error(y, exact) < (1e-6 if case.layout.groups == 1 or case.layout.integer_scales else 2e-6)


@pytest.mark.parametrize("stored", ["i4g32:f16", "u4g128:f16", "u8g32:f32", "i8row:f32", "i3g32:f32", "i2g32:f16"])
@pytest.mark.parametrize(("n", "k"), [(1, 32), (17, 96), (65, 2080)])
def test_float_activations(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored)
    for y, arrays, _ in on_all_rows(case, target):
        assert rounding_error(y, arrays[0], case) <= 1.0, len(y)


@pytest.mark.parametrize("stored", ["bf16", "f16", "f32"])
@pytest.mark.parametrize(("n", "k"), [(17, 96), (8, 33)])
def test_float_weights(n: int, k: int, stored: str, target: Target) -> None:
    for y, _, exact in on_all_rows(Case(n, k, stored), target):
        assert relative_error(y, exact) < 1e-5


@pytest.mark.parametrize("x", [-128, 127])
@pytest.mark.parametrize("stored", ["u8row:f32", "u4row:f32", "u2row:f32", "u7row:f32"])
def test_the_largest_products_are_not_saturated(stored: str, x: int, target: Target) -> None:
    case = Case(16, 512, stored, "int8")
    weight = case.weight
    assert isinstance(weight, QuantizedWeight)
    assert weight.zeros is not None
    weight.codes[:], weight.zeros[:] = weight.format.high, 0
    pieces, form = pack(case.layout, weight), linear_form(target)
    for seq, rows in ((1, 1), (None, 2), (None, 4), (None, 40)):
        arrays = [np.full((rows, 512), x, np.int8), np.ones((rows, 1), np.float32), *pieces.values()]
        (y,) = run(build(case.layout, seq, target, form=form), arrays, (rows, 16))
        assert relative_error(y, arrays[0].astype(np.float64) @ weight.decode(np.float64).T) < 1e-6


@pytest.mark.parametrize("rows", [1, 3, 20])
@pytest.mark.parametrize("stored", ["u8g128:f32", "u4g128:f32"])
def test_the_largest_products_of_floats_are_not_saturated(stored: str, rows: int, target: Target) -> None:
    case = Case(16, 512, stored)
    weight = case.weight
    assert isinstance(weight, QuantizedWeight)
    assert weight.zeros is not None
    weight.codes[:], weight.zeros[:] = weight.format.high, 0
    # The low byte of 127.5 · 256 is -128 in two's complement.
    x = np.full((rows, 512), 127.5 * 256, np.float32)
    x[:, ::128] = 127 * 256 + 127
    kernel = build(case.layout, 1 if rows == 1 else None, target, form=linear_form(target))
    (y,) = run(kernel, [x, *pack(case.layout, weight).values()], (rows, 16))
    assert relative_error(y, x.astype(np.float64) @ weight.decode(np.float64).T) < 4e-5


def test_codes_of_four_bits_are_read_as_stored_at_any_number_of_rows() -> None:
    made = cpu_target(V3, 2)
    function = lower(Case(64, 96, "i4g32u8:f32", "int8").layout, None, made, form=linear_form(made))
    assert linear_forms(function, 128) == [
        ((1, 2), "gemv on few rows, products of pairs"),
        ((3, 128), "gemm, products of pairs"),
    ]
    function = lower(Case(64, 96, "i8row:f32", "int8").layout, None, made, form=linear_form(made))
    assert linear_forms(function, 128)[-1] == ((3, 128), "gemm, pairs_avx2 microkernel of 4x4 vectors")
