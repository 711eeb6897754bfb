"""Dot products of codes with activations as 16-bit integers: what is lost stays below the last bit of a group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm
from linear_cases import Case, build, lower, relative_error, rounding_error, run, vnni_target
from tvm.target import Target


@pytest.fixture(scope="module")
def target() -> Target:
    return vnni_target()


FORMATS = [
    "i4g32:f16", "i4g128:f16", "u4g32:f16", "i4row:f32", "i2g32:f16", "u2g64:bf16", "i8g128:f16", "i8row:f32",
    "u8g32:f16", "i3g32:f16", "u5g64:f16",
]  # fmt: skip


@pytest.mark.parametrize("stored", FORMATS)
@pytest.mark.parametrize(("n", "k"), [(1, 64), (172, 172), (33, 7), (17, 96), (64, 2080)])
def test_one_row(n: int, k: int, stored: str, target: Target) -> None:
    case = Case(n, k, stored)
    arrays, exact = case.inputs(1)
    (y,) = run(build(case.layout, 1, target, form="cpu_vnni"), arrays, (1, n))
    assert relative_error(y, exact) < 1e-4
    assert rounding_error(y, arrays[0], case) <= 1.0


def test_other_formats_and_row_counts_are_as_in_the_cpu_form(target: Target) -> None:
    others = [
        ("i6g8:f16", "float", 1, 1), ("i4g32:f16", "float", 5, 5), ("bf16", "float", 1, 1),
        ("i8row:f32", "int8", None, 9),
    ]  # fmt: skip
    for stored, activation, seq, rows in others:
        case = Case(48, 64, stored, activation)
        arrays, exact = case.inputs(rows)
        (y,) = run(build(case.layout, seq, target, form="cpu_vnni"), arrays, (rows, 48))
        assert relative_error(y, exact) < 1e-5


@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e25])
def test_activations_keep_their_digits_at_any_size(scale: float, target: Target) -> None:
    case = Case(64, 256, "i4g32:f16")
    arrays, _ = case.inputs(1)
    arrays[0] = arrays[0] * np.float32(scale)
    arrays[0][0, 32:64] = 0
    (y,) = run(build(case.layout, 1, target, form="cpu_vnni"), arrays, (1, 64))
    assert rounding_error(y, arrays[0], case) <= 1.0


def test_an_outlier_costs_digits_of_its_own_group_only(target: Target) -> None:
    case = Case(64, 256, "i4g32:f16")
    arrays, _ = case.inputs(1)
    arrays[0][0, 5] = 1e4
    (y,) = run(build(case.layout, 1, target, form="cpu_vnni"), arrays, (1, 64))
    assert rounding_error(y, arrays[0], case) <= 1.0


def test_many_kernels_share_one_library(target: Target, tmp_path: Path) -> None:
    cases = {name: Case(n, 64, "i4g32:f16") for name, n in (("a", 64), ("b", 32))}
    module = tvm.IRModule(
        {
            name: lower(case.layout, 1, target, form="cpu_vnni").with_attr("global_symbol", name)
            for name, case in cases.items()
        }
    )
    tvm.compile(module, target).export_library(str(tmp_path / "kernels.so"))
    library = tvm.runtime.load_module(str(tmp_path / "kernels.so"))
    for name, case in cases.items():
        arrays, exact = case.inputs(1)
        (y,) = run(library[name], arrays, (1, case.layout.n))
        assert relative_error(y, exact) < 1e-4
