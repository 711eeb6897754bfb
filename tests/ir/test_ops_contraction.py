"""Linear, matmul, gathers and experts against torch in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cosyn.ir.dtype import DType
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import OPS, OpError, make_node
from cosyn.ir.ops.contraction import MoeAttrs
from cosyn.ir.types import SEQ, TensorType


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def f32(*shape: object) -> TensorType:
    return TensorType(shape, DType.F32)  # type: ignore[arg-type]  # dimensions


@pytest.mark.parametrize(("rows", "n", "k"), [(1, 1, 1), (7, 3, 5), (4, 33, 17)])
def test_linear(rows: int, n: int, k: int) -> None:
    x, w, b = normal(rows, k), normal(n, k, seed=1), normal(n, seed=2)
    t = torch.from_numpy
    for bias in ([], [b]):
        expected = F.linear(t(x), t(w), *[t(a) for a in bias])
        np.testing.assert_allclose(OPS["linear"].reference(NO_ATTRS, x, w, *bias), expected, rtol=1e-12)


def test_linear_reads_weights_of_other_widths() -> None:
    x, w = normal(2, 8), normal(3, 8).astype(ml_dtypes.bfloat16)
    np.testing.assert_allclose(OPS["linear"].reference(NO_ATTRS, x, w), x @ w.astype(np.float64).T)


def test_linear_i8_is_the_scaled_integer_product() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (5, 64)).astype(np.int8)
    scales, w, b = rng.uniform(0.01, 1, (5, 1)), normal(3, 64), normal(3)
    found = OPS["linear_i8"].reference(NO_ATTRS, codes, scales, w, b)
    np.testing.assert_allclose(found, (codes * scales) @ w.T + b, rtol=1e-12)


@pytest.mark.parametrize(("a", "b"), [((2, 3), (3, 4)), ((5, 1, 2, 3), (7, 3, 1))])
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = normal(*a), normal(*b, seed=1)
    expected = torch.from_numpy(x) @ torch.from_numpy(y)
    np.testing.assert_allclose(OPS["matmul"].reference(NO_ATTRS, x, y), expected, rtol=1e-12)
    assert make_node("y", "matmul", ["%a", "%b"], [f32(*a), f32(*b)]).type.shape == tuple(expected.shape)


def test_gathers() -> None:
    table, ids = normal(11, 5), np.array([3, 0, 10, 3], np.int32)
    np.testing.assert_array_equal(OPS["embedding"].reference(NO_ATTRS, ids, table), table[ids])
    np.testing.assert_array_equal(OPS["take"].reference(NO_ATTRS, table, ids), table[ids])
    columns = np.array([[4, 0], [1, 1]], np.int32)
    expected = torch.gather(torch.from_numpy(table[:2]), 1, torch.from_numpy(columns).long())
    np.testing.assert_array_equal(OPS["take_columns"].reference(NO_ATTRS, table[:2], columns), expected)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_moe_sums_the_chosen_experts(gated: bool, biased: bool) -> None:
    tokens, experts, k, d, n = 7, 5, 2, 6, 9
    x, weights = normal(tokens, d), np.abs(normal(tokens, k, seed=1))
    ids = np.random.default_rng(2).permuted(np.tile(np.arange(experts), (tokens, 1)), axis=1)[:, :k].astype(np.int32)
    up, down = normal(experts, 2 * n if gated else n, d, seed=3), normal(experts, d, n, seed=4)
    biases = [normal(experts, up.shape[1], seed=5), normal(experts, d, seed=6)] if biased else []
    expected = torch.zeros(tokens, d, dtype=torch.float64)
    t = torch.from_numpy
    for token in range(tokens):
        for choice in range(k):
            e = ids[token, choice]
            h = F.linear(t(x[token]), t(up[e]), t(biases[0][e]) if biased else None)
            h = F.silu(h[:n]) * h[n:] if gated else F.silu(h)
            expected[token] += weights[token, choice] * F.linear(h, t(down[e]), t(biases[1][e]) if biased else None)
    found = OPS["moe"].reference(MoeAttrs("silu", gated), x, weights, ids, up, down, *biases)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_expert_linear_and_mix_experts(shared: bool, biased: bool) -> None:
    tokens, experts, k, d, n = 7, 5, 3, 6, 9
    x, weight = normal(tokens, d) if shared else normal(tokens, k, d), normal(experts, n, d, seed=1)
    ids = np.random.default_rng(2).integers(0, experts, (tokens, k)).astype(np.int32)
    bias = [normal(experts, n, seed=3)] if biased else []
    t = torch.from_numpy
    rows = t(x)[:, None].expand(tokens, k, d) if shared else t(x)
    expected = torch.einsum("tcnd,tcd->tcn", t(weight)[ids.astype(np.int64)], rows)
    if biased:
        expected = expected + t(bias[0])[ids.astype(np.int64)]
    found = OPS["expert_linear"].reference(NO_ATTRS, x, ids, weight, *bias)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    mix = normal(tokens, k, seed=4)
    expected = torch.einsum("tcn,tc->tn", t(found), t(mix))
    np.testing.assert_allclose(OPS["mix_experts"].reference(NO_ATTRS, found, mix), expected, rtol=1e-11, atol=1e-12)


def test_expert_linear_refusals() -> None:
    ids, weight = TensorType((SEQ, 2), DType.I32), f32(4, 6, 8)
    for x, expected in ((f32(SEQ, 8), (SEQ, 2, 6)), (f32(SEQ, 2, 8), (SEQ, 2, 6))):
        assert make_node("y", "expert_linear", ["%x", "%i", "@w"], [x, ids, weight]).type.shape == expected
    with pytest.raises(OpError, match=r"needs i32 expert ids \[tokens, k\], found f32\[seq, 2\]"):
        make_node("y", "expert_linear", ["%x", "%i", "@w"], [f32(SEQ, 8), f32(SEQ, 2), weight])
    with pytest.raises(OpError, match=r"found f32\[seq, 3, 8\]"):
        make_node("y", "expert_linear", ["%x", "%i", "@w"], [f32(SEQ, 3, 8), ids, weight])
    with pytest.raises(OpError, match=r"needs a weight \[experts, n, 7\]"):
        make_node("y", "expert_linear", ["%x", "%i", "@w"], [f32(SEQ, 7), ids, weight])
    with pytest.raises(OpError, match=r"needs a bias \[4, 6\], found f32\[6\]"):
        make_node("y", "expert_linear", ["%x", "%i", "@w", "@b"], [f32(SEQ, 8), ids, weight, f32(6)])
    with pytest.raises(OpError, match=r"mix_experts needs \[tokens, k, n\]"):
        make_node("y", "mix_experts", ["%x", "%p"], [f32(SEQ, 2, 8), f32(SEQ, 3)])


def test_refusals() -> None:
    x = f32(SEQ, 8)
    with pytest.raises(OpError, match=r"linear needs a weight \[n, 8\], found f32\[4, 7\]"):
        make_node("y", "linear", ["%x", "@w"], [x, f32(4, 7)])
    with pytest.raises(OpError, match=r"linear needs a bias \[4\], found f32\[5\]"):
        make_node("y", "linear", ["%x", "@w", "@b"], [x, f32(4, 8), f32(5)])
    with pytest.raises(OpError, match="cannot multiply"):
        make_node("y", "matmul", ["%a", "%b"], [f32(2, 3), f32(2, 3)])
    with pytest.raises(OpError, match="embedding needs i32 ids"):
        make_node("y", "embedding", ["%a", "%b"], [f32(SEQ), f32(2, 3)])
    ids = TensorType((SEQ, 2), DType.I32)
    with pytest.raises(OpError, match="unknown activation 'swish'"):
        make_node("y", "moe", list("abcde"), [x, f32(SEQ, 2), ids, f32(4, 6, 8), f32(4, 8, 3)], MoeAttrs("swish"))
    with pytest.raises(OpError, match="do not fit together"):
        make_node("y", "moe", list("abcde"), [x, f32(SEQ, 2), ids, f32(4, 6, 8), f32(4, 8, 4)], MoeAttrs("silu"))
    with pytest.raises(OpError, match=r"linear takes 2\.\.3 operands, found 1"):
        make_node("y", "linear", ["%x"], [x])
