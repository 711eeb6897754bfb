"""Elementwise ops against torch in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cosyn.ir.dtype import DType
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import OPS, OpError, make_node
from cosyn.ir.ops.elementwise import BINARY, UNARY, CastAttrs, ScalarAttrs
from cosyn.ir.types import SEQ, TensorType

UNARY_TORCH: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "sin": torch.sin, "cos": torch.cos,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": torch.relu, "round_bf16": lambda x: x.to(torch.bfloat16).to(x.dtype),
}  # fmt: skip
BINARY_TORCH = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "maximum": torch.maximum, "minimum": torch.minimum,
}  # fmt: skip
SHAPES = [(), (1,), (7,), (1, 1), (3, 7), (2, 1, 5)]
POSITIVE_ONLY = {"log", "sqrt", "rsqrt", "reciprocal", "pow"}


def values(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=shape) * 3
    return np.asarray(np.abs(x) + 0.1 if name in POSITIVE_ONLY else x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary_equals_torch(name: str, shape: tuple[int, ...]) -> None:
    x = values(name, shape, 1)
    found = OPS[name].reference(NO_ATTRS, x)
    np.testing.assert_allclose(found, UNARY_TORCH[name](torch.from_numpy(x)).numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "shapes", [((3, 7), (3, 7)), ((3, 7), (7,)), ((3, 1), (1, 5)), ((), (2, 3)), ((4, 1, 3), (2, 3))]
)
@pytest.mark.parametrize("name", BINARY)
def test_binary_broadcasts_like_torch(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = values(name, shapes[0], 1), values(name, shapes[1], 2)
    expected = BINARY_TORCH[name](torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(OPS[name].reference(NO_ATTRS, a, b), expected, rtol=1e-13)
    types = [TensorType(s, DType.F32) for s in shapes]
    assert make_node("y", name, ["%a", "%b"], types).type == TensorType(expected.shape, DType.F32)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_f32_stays_f32(name: str) -> None:
    x = values(name, (5,), 3).astype(np.float32)
    operands = [x, x] if name in BINARY else [x]
    assert OPS[name].reference(NO_ATTRS, *operands).dtype == np.float32


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu", "gelu_tanh", "tanh"])
def test_saturating_functions_do_not_overflow(name: str) -> None:
    with np.errstate(over="raise", invalid="raise"):
        y = OPS[name].reference(NO_ATTRS, np.array([-1e4, -90.0, 0.0, 90.0, 1e4], np.float32))
    assert np.isfinite(y).all()


def test_cast_keeps_the_width_of_the_reference() -> None:
    x = np.array([1.5, -2.25], np.float64)
    assert OPS["cast"].reference(CastAttrs(DType.F16), x) is x
    assert OPS["cast"].reference(CastAttrs(DType.I32), x).tolist() == [1, -2]
    assert OPS["cast"].reference(CastAttrs(DType.F32), np.array([3], np.int32)).dtype == np.float32


def test_scalar_is_not_rounded_to_single_precision() -> None:
    assert OPS["scalar"].reference(ScalarAttrs(0.1)) == 0.1
    assert OPS["scalar"].reference(ScalarAttrs(3.0, DType.I32)).dtype == np.int32


def test_mixed_types_are_refused() -> None:
    types = [TensorType((SEQ,), DType.F32), TensorType((SEQ,), DType.I32)]
    with pytest.raises(OpError, match=r"one element type, found \['f32', 'i32'\]"):
        make_node("y", "add", ["%a", "%b"], types)


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    types = [TensorType((SEQ, 3), DType.F32), TensorType((4,), DType.F32)]
    with pytest.raises(OpError, match="do not broadcast"):
        make_node("y", "add", ["%a", "%b"], types)
