"""Groups without a contraction, as one scheduled kernel each, against the reference functions in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from group_harness import Chain, Step, step

from cosyn.ir.ops.attention import RopeAttrs
from cosyn.ir.ops.elementwise import ScalarAttrs
from cosyn.ir.ops.movement import AxisAttrs, ReshapeAttrs, SliceAttrs
from cosyn.ir.ops.row import NormAttrs, TopKAttrs
from cosyn.ir.types import SEQ

Array = npt.NDArray[Any]
EPS = NormAttrs(1e-5)


def normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def check(arrays: dict[str, Array], steps: list[Step], outputs: list[str], bound: float = 2e-6) -> None:
    for static in (False, True):
        chain = Chain(arrays, steps, SEQ)
        for found, expected in zip(chain.compiled(outputs, static=static), chain.expected(outputs), strict=True):
            scale = max(1.0, float(np.abs(expected).max()))
            assert float(np.abs(found - expected).max()) <= bound * scale, (static, outputs)


@pytest.mark.parametrize("rows", [1, 3, 33])
@pytest.mark.parametrize("columns", [1, 7, 64, 172])
class TestShapes:
    def test_residual_and_rms_norm(self, rows: int, columns: int) -> None:
        arrays = {"%x": normal(rows, columns), "%y": normal(rows, columns) + 1, "@w": normal(columns)}
        check(arrays, [step("r", "add", "%x", "%y"), step("n", "rms_norm", "%r", "@w", attrs=EPS)], ["%r", "%n"])

    def test_constant_times_row_and_rms_norm(self, rows: int, columns: int) -> None:
        steps = [
            step("s", "scalar", attrs=ScalarAttrs(6.93)),
            step("m", "mul", "%x", "%s"),
            step("n", "rms_norm", "%m", attrs=EPS),
        ]
        check({"%x": normal(rows, columns)}, steps, ["%m", "%n"])

    def test_layer_norm(self, rows: int, columns: int) -> None:
        arrays = {"%x": normal(rows, columns) + 30, "@w": normal(columns), "@b": normal(columns) + 1}
        # A row far from zero: the mean takes digits from the variance, in f32 as in any order of summation.
        check(arrays, [step("n", "layer_norm", "%x", "@w", "@b", attrs=EPS)], ["%n"], 3e-3 if columns == 1 else 2e-5)

    def test_softmax(self, rows: int, columns: int) -> None:
        check({"%x": 20 * normal(rows, columns)}, [step("s", "softmax", "%x")], ["%s"], 3e-6)

    def test_gated_activation(self, rows: int, columns: int) -> None:
        arrays = {"%x": 8 * normal(rows, columns), "%y": normal(rows, columns)}
        check(arrays, [step("a", "silu", "%x"), step("m", "mul", "%a", "%y")], ["%m"])

    def test_norm_and_quantize_rows_have_equal_codes_but_for_ties(self, rows: int, columns: int) -> None:
        arrays = {"%x": normal(rows, columns), "@w": normal(columns)}
        chain = Chain(arrays, [step("n", "rms_norm", "%x", "@w", attrs=EPS), step("q", "quantize_rows", "%n")], SEQ)
        (codes, scales), (expected, expected_scales) = chain.compiled(["%q", "%q.1"]), chain.expected(["%q", "%q.1"])
        assert np.abs(codes.astype(int) - expected.astype(int)).max() <= 1
        assert np.mean(codes != expected) < 0.01
        np.testing.assert_allclose(scales, expected_scales, rtol=1e-5)


@pytest.mark.parametrize(
    "op", ["neg", "abs", "exp", "sqrt", "rsqrt", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "relu", "cos", "sin"]
)
def test_unary_ops_over_a_wide_range(op: str) -> None:
    x = np.linspace(-30, 30, 4 * 171, dtype=np.float32).reshape(4, 171)
    check({"%x": np.abs(x) + 1e-3 if op in ("sqrt", "rsqrt") else x}, [step("y", op, "%x")], ["%y"])


@pytest.mark.parametrize("op", ["tanh", "sigmoid", "silu", "gelu", "gelu_tanh"])
def test_activations_saturate_without_nan(op: str) -> None:
    x = np.array([[-3e38, -1e4, -100.0, 100.0, 1e4, 3e38]], np.float32)
    found = Chain({"%x": x}, [step("y", op, "%x")], SEQ).compiled(["%y"])[0]
    assert not np.isnan(found).any()


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("head", "rotary"), [(8, 8), (16, 8), (80, 20)])
def test_rope_after_slice_and_head_norm(head: int, rotary: int, interleaved: bool) -> None:
    heads = 3
    arrays = {
        "%x": normal(5, 2 * heads * head),
        "%p": np.array([0, 1, 7, 300, 4000], np.int32),
        "@w": normal(head),
        "@f": (10000.0 ** (-np.arange(rotary // 2) / (rotary // 2))).astype(np.float32),
    }
    steps = [
        step("s", "slice", "%x", attrs=SliceAttrs(1, heads * head, 2 * heads * head)),
        step("h", "reshape", "%s", attrs=ReshapeAttrs((SEQ, heads, head))),
        step("n", "rms_norm", "%h", "@w", attrs=EPS),
        step("r", "rope", "%n", "%p", "@f", attrs=RopeAttrs(rotary, interleaved, 1.25)),
    ]
    # At position 4000 an angle in f32 is off by up to 4000 · 2^-24.
    check(arrays, steps, ["%r"], 5e-4)


def test_gather_and_concat() -> None:
    arrays = {"%x": normal(6, 10), "%c": np.array([[9, 0], [1, 1], [2, 3], [4, 5], [6, 7], [8, 9]], np.int32)}
    steps = [
        step("a", "slice", "%x", attrs=SliceAttrs(1, 1, 10, 3)),
        step("t", "take_columns", "%x", "%c"),
        step("y", "concat", "%a", "%t", "%x", attrs=AxisAttrs(1)),
    ]
    check(arrays, steps, ["%y"], 0)


def test_top_k_prefers_the_lower_index_among_equals() -> None:
    x = np.random.default_rng(0).integers(0, 4, (50, 8)).astype(np.float32)
    chain = Chain({"%x": x}, [step("t", "topk", "%x", attrs=TopKAttrs(3))], SEQ)
    values, indices = chain.run_unscheduled(["%t", "%t.1"])
    expected = chain.expected(["%t", "%t.1"])
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(indices, expected[1])
