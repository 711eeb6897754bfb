"""Ops that move elements, against torch; and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cosyn.ir.dtype import DType
from cosyn.ir.ops import OPS, OpError, make_node
from cosyn.ir.ops.movement import AxisAttrs, ReshapeAttrs, SliceAttrs, TransposeAttrs
from cosyn.ir.types import SEQ, TensorType

X = np.arange(2 * 3 * 5, dtype=np.float64).reshape(2, 3, 5)
T = torch.from_numpy(X)


@pytest.mark.parametrize(
    ("op", "attrs", "expected"),
    [
        ("reshape", ReshapeAttrs((6, 5)), T.reshape(6, 5)),
        ("reshape", ReshapeAttrs((30,)), T.reshape(30)),
        ("transpose", TransposeAttrs((2, 0, 1)), T.permute(2, 0, 1)),
        ("slice", SliceAttrs(2, 1, 4), T[:, :, 1:4]),
        ("slice", SliceAttrs(2, 0, 5, 2), T[:, :, ::2]),
        ("slice", SliceAttrs(2, 1, 5, 3), T[:, :, 1::3]),
        ("expand", ReshapeAttrs((4, 2, 3, 5)), T.expand(4, 2, 3, 5)),
    ],
)
def test_equals_torch(op: str, attrs: Any, expected: torch.Tensor) -> None:
    np.testing.assert_array_equal(OPS[op].reference(attrs, X), expected.numpy())
    node = make_node("y", op, ["%x"], [TensorType(X.shape, DType.F32)], attrs)
    assert node.type == TensorType(tuple(expected.shape), DType.F32)


def test_concat_equals_torch() -> None:
    y = X[:, :1] + 100
    expected = torch.cat([T, torch.from_numpy(y)], 1)
    np.testing.assert_array_equal(OPS["concat"].reference(AxisAttrs(1), X, y), expected.numpy())
    types = [TensorType(X.shape, DType.F32), TensorType(y.shape, DType.F32)]
    assert make_node("y", "concat", ["%a", "%b"], types, AxisAttrs(1)).type.shape == (2, 4, 5)


def test_shapes_may_be_symbolic() -> None:
    x = TensorType((SEQ, 12), DType.F32)
    assert make_node("y", "reshape", ["%x"], [x], ReshapeAttrs((SEQ, 3, 4))).type.shape == (SEQ, 3, 4)
    assert make_node("y", "reshape", ["%x"], [x], ReshapeAttrs((3 * SEQ, 4))).type.shape == (3 * SEQ, 4)
    assert OPS["reshape"].reference(ReshapeAttrs((SEQ, 5)), X).shape == (6, 5)


@pytest.mark.parametrize(
    ("op", "attrs", "message"),
    [
        ("reshape", ReshapeAttrs((SEQ, 13)), r"cannot reshape f32\[seq, 12\] to f32\[seq, 13\]"),
        ("transpose", TransposeAttrs((0, 0)), "not a permutation"),
        ("slice", SliceAttrs(1, 4, 13), "slice 4:13:1 does not fit dimension 12"),
        ("slice", SliceAttrs(0, 0, 1), "does not fit dimension seq"),
        ("slice", SliceAttrs(2, 0, 1), "axis 2 is outside"),
        ("expand", ReshapeAttrs((SEQ, 13)), "cannot expand"),
        ("expand", ReshapeAttrs((12,)), "cannot expand"),
        ("expand", ReshapeAttrs((SEQ,)), "cannot expand"),
        ("concat", AxisAttrs(2), "axis 2 is outside"),
    ],
)
def test_refuses(op: str, attrs: Any, message: str) -> None:
    with pytest.raises(OpError, match=message):
        make_node("y", op, ["%x"], [TensorType((SEQ, 12), DType.F32)], attrs)


def test_concat_refuses_other_sizes_and_types() -> None:
    a = TensorType((SEQ, 3), DType.F32)
    for b in (TensorType((4, 3), DType.F32), TensorType((SEQ, 3), DType.I32), TensorType((SEQ,), DType.F32)):
        with pytest.raises(OpError, match="cannot join"):
            make_node("y", "concat", ["%a", "%b"], [a, b], AxisAttrs(1))
