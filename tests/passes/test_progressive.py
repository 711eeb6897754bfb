"""Progressive quantization: integer group scales, and N:16 sparsity."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cosyn.ir.dtype import DType
from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import WeightFormat
from cosyn.passes.prune import prune
from cosyn.passes.rtn import decode_rtn, quantize_rtn

FORMATS = ["i4g32u8:f32", "i4g128u8:f32", "i3g128u8:f32", "i2g32u8:f32", "i4g32u8.8of16:f32", "i2g32u8.2of16:f32"]


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * np.exp(rng.normal(size=(*shape[:-1], 1)))).astype(np.float32)


@pytest.mark.parametrize("text", FORMATS)
@pytest.mark.parametrize("shape", [(1, 128), (7, 172), (3, 4, 256)])
def test_the_parts_of_a_weight(text: str, shape: tuple[int, ...]) -> None:
    fmt, w = WeightFormat.parse(text), weights(*shape)
    q = quantize_rtn(w, fmt)
    groups = -(-shape[-1] // fmt.group(shape[-1]))
    assert q.integers is not None
    assert (q.codes.shape, q.scales.shape, q.integers.shape) == (shape, (*shape[:-1], 1), (*shape[:-1], groups))
    assert (q.codes.dtype, q.scales.dtype, q.integers.dtype) == (np.int8, np.float32, np.uint8)
    assert fmt.low <= q.codes.min()
    assert q.codes.max() <= fmt.high
    assert q.integers.min() >= 1
    # The hardware multiplies the two: the product must be a signed byte.
    spread = np.repeat(q.integers, fmt.group(shape[-1]), -1)[..., : shape[-1]].astype(int)
    products = q.codes * spread
    assert products.min() >= -128
    assert products.max() <= 127
    np.testing.assert_array_equal(q.expanded().codes, products)
    np.testing.assert_array_equal(q.decode(), products.astype(np.float32) * q.scales)
    assert q.expanded().format == WeightFormat.parse("i8row:f32")
    np.testing.assert_array_equal(q.expanded().decode(), q.decode())


@pytest.mark.parametrize(
    ("text", "like", "worse"),
    [("i4g32u8:f32", "i4g32:f16", 1.08), ("i4g128u8:f32", "i4g128:f16", 1.02), ("i3g128u8:f32", "i3g128:f16", 1.02),
     ("i2g32u8:f32", "i2g32:f16", 1.08)],
)  # fmt: skip
def test_integer_scales_cost_little_beside_float_scales(text: str, like: str, worse: float) -> None:
    w = weights(64, 1024)

    def error(fmt: str) -> float:
        return float(np.sqrt(np.square(quantize_rtn(w, WeightFormat.parse(fmt)).decode() - w).mean()))

    assert error(text) < worse * error(like)


def test_the_row_scale_is_the_one_with_the_least_squared_error() -> None:
    w = weights(16, 256)
    q = quantize_rtn(w, WeightFormat.parse("i4g32u8:f32"))
    products = q.expanded().codes.astype(np.float64)

    def error(scale: np.ndarray) -> np.ndarray:
        return np.square(products * scale - w).sum(1)

    best = error(q.scales)
    for factor in (0.99, 1.01):
        assert (error(q.scales * factor) >= best).all()


def test_zero_rows_and_one_sided_groups() -> None:
    for text in FORMATS[:4]:
        fmt = WeightFormat.parse(text)
        assert not quantize_rtn(np.zeros((2, 128), np.float32), fmt).decode().any()
        for value in (1.0, -1.0, 1e-20):
            w = np.full((2, 128), value, np.float32)
            np.testing.assert_allclose(quantize_rtn(w, fmt).decode(), w, rtol=1e-6)


def test_large_matrices_take_seconds_not_minutes() -> None:
    w = weights(512, 4096)
    start = time.process_time()
    quantize_rtn(w, WeightFormat.parse("i4g32u8:f32"))
    # 7B weights in under ten minutes on one core even on a slow machine.
    assert (time.process_time() - start) / w.size < 90e-9


@pytest.mark.parametrize("kept", [8, 4, 2])
@pytest.mark.parametrize("shape", [(6, 64), (5, 172), (2, 4, 32), (1, 7)])
def test_pruning_keeps_the_most_energy_of_two_rows(kept: int, shape: tuple[int, ...]) -> None:
    w = weights(*shape)
    pruned = prune(w, kept)
    assert pruned.shape == shape
    np.testing.assert_array_equal(pruned[pruned != 0], w[pruned != 0])
    rows = w.reshape(-1, *shape[-2:])
    for matrix, found in zip(rows, pruned.reshape(rows.shape), strict=True):
        for top in range(0, shape[-2], 2):
            for left in range(0, shape[-1], 16):
                block = np.square(matrix[top : top + 2, left : left + 16]).sum(0)
                chosen = (found[top : top + 2, left : left + 16] != 0).any(0)
                assert chosen.sum() == min(kept, len(block))
                assert block[chosen].min() >= block[~chosen].max(initial=0)


@pytest.mark.parametrize("text", ["i8row.8of16:f32", "i4g32u8.4of16:f32"])
def test_sparse_formats_keep_no_more_than_they_say(text: str) -> None:
    fmt, w = WeightFormat.parse(text), weights(8, 256)
    codes = quantize_rtn(w, fmt).codes
    pairs = (codes.reshape(4, 2, 16, 16) != 0).any(1)
    assert pairs.sum(-1).max() <= fmt.kept
    assert pairs.sum() > 0.8 * fmt.kept * 4 * 16
    np.testing.assert_array_equal(decode_rtn("@w", _typed(fmt), w), quantize_rtn(w, fmt).decode())


def _typed(fmt: WeightFormat) -> TensorType:
    return TensorType((8, 256), DType.F32, fmt)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("i4g32u8:f32", 4096 * 4 + 128 * 8 + 32),
        ("i3g128u8:f32", 4096 * 3 + 32 * 8 + 32),
        ("i8row.8of16:f32", 2048 * (8 + 2) + 32),
        ("i4g32u8.8of16:f32", 2048 * (4 + 2) + 64 * 8 + 32),
    ],
)
def test_stored_bits(text: str, bits: int) -> None:
    assert WeightFormat.parse(text).stored_bits(4096) == bits
