"""Row ops against torch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cosyn.ir.dtype import DType
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import OPS, OpError, make_node
from cosyn.ir.ops.row import NormAttrs, TopKAttrs
from cosyn.ir.types import SEQ, TensorType

SHAPES = [(1, 1), (1, 7), (7, 3), (2, 3, 33)]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 3, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(shape: tuple[int, ...]) -> None:
    x, w = normal(*shape), normal(shape[-1], seed=1)
    attrs = NormAttrs(1e-5)
    t = torch.from_numpy
    expected = F.rms_norm(t(x), shape[-1:], t(w), 1e-5)
    np.testing.assert_allclose(OPS["rms_norm"].reference(attrs, x, w), expected, rtol=1e-13)
    np.testing.assert_allclose(
        OPS["rms_norm"].reference(attrs, x), F.rms_norm(t(x), shape[-1:], None, 1e-5), rtol=1e-13
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(shape: tuple[int, ...]) -> None:
    x, w, b = normal(*shape), normal(shape[-1], seed=1), normal(shape[-1], seed=2)
    attrs = NormAttrs(1e-5)
    t = torch.from_numpy
    for affine in ([], [w], [w, b]):
        expected = F.layer_norm(t(x), shape[-1:], *[t(a) for a in affine], eps=1e-5)
        np.testing.assert_allclose(OPS["layer_norm"].reference(attrs, x, *affine), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_and_reductions(shape: tuple[int, ...]) -> None:
    x = normal(*shape) * 100
    t = torch.from_numpy(x)
    np.testing.assert_allclose(OPS["softmax"].reference(NO_ATTRS, x), F.softmax(t, -1), rtol=1e-13, atol=1e-300)
    for name, expected in (("sum", t.sum(-1, True)), ("mean", t.mean(-1, True)), ("max", t.amax(-1, True))):
        np.testing.assert_allclose(OPS[name].reference(NO_ATTRS, x), expected, rtol=1e-12)
        node = make_node("y", name, ["%x"], [TensorType(shape, DType.F32)])
        assert node.type.shape == tuple(expected.shape)


@pytest.mark.parametrize(("shape", "k"), [((1, 1), 1), ((5, 7), 2), ((3, 4, 33), 8)])
def test_topk(shape: tuple[int, ...], k: int) -> None:
    x = normal(*shape)
    values, indices = OPS["topk"].reference(TopKAttrs(k), x)
    expected = torch.from_numpy(x).topk(k, -1)
    np.testing.assert_array_equal(values, expected.values)
    np.testing.assert_array_equal(indices, expected.indices)
    node = make_node("y", "topk", ["%x"], [TensorType(shape, DType.F32)], TopKAttrs(k))
    assert [t.dtype for t in node.types] == [DType.F32, DType.I32]


def test_topk_takes_the_lower_index_among_equals() -> None:
    _, indices = OPS["topk"].reference(TopKAttrs(3), np.array([[1.0, 2.0, 2.0, 1.0]]))
    assert indices.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantize_rows(dtype: type[np.floating]) -> None:
    x = normal(5, 33).astype(dtype)
    x[3] = 0
    codes, scales = OPS["quantize_rows"].reference(NO_ATTRS, x)
    assert codes.dtype == np.int8
    assert scales.dtype == dtype
    assert scales[3, 0] == 0
    assert not codes[3].any()
    assert np.abs(codes).max(-1).tolist() == [127, 127, 127, 0, 127]
    assert (np.abs(codes * scales - x) <= scales / 2 * (1 + 1e-6)).all()


def test_quantize_rows_rounds_ties_to_even() -> None:
    codes, _ = OPS["quantize_rows"].reference(NO_ATTRS, np.array([[127.0, 0.5, 1.5, -2.5]]))
    assert codes.tolist() == [[127, 0, 2, -2]]


def test_refusals() -> None:
    x = TensorType((SEQ, 8), DType.F32)
    with pytest.raises(OpError, match=r"norm weight must have shape \[8\], found f32\[7\]"):
        make_node("y", "rms_norm", ["%x", "@w"], [x, TensorType((7,), DType.F32)], NormAttrs(1e-5))
    with pytest.raises(OpError, match=r"k = 9 is outside 1\.\.8"):
        make_node("y", "topk", ["%x"], [x], TopKAttrs(9))
