"""Rounding to nearest."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from cosyn.ir.dtype import DType
from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import WeightFormat
from cosyn.passes.rtn import decode_rtn, quantize_rtn

FORMATS = [
    "i4g32:f16",
    "i4g4:f32",
    "i8g128:f16",
    "i8row:f32",
    "u4g32:f16",
    "u8row:f32",
    "i2g16:f16",
    "i3g64:bf16",
]


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("text", FORMATS)
@pytest.mark.parametrize("shape", [(1, 128), (7, 128), (3, 5, 256)])
def test_codes_stand_for_nearly_the_same_values(text: str, shape: tuple[int, ...]) -> None:
    fmt, w = WeightFormat.parse(text), weights(*shape)
    q = quantize_rtn(w, fmt)
    assert q.codes.shape == w.shape
    assert q.codes.dtype == (np.int8 if fmt.symmetric else np.uint8)
    assert q.scales.shape == (*w.shape[:-1], w.shape[-1] // fmt.group(w.shape[-1]))
    assert q.scales.dtype == fmt.scale_dtype.numpy
    assert (q.zeros is None) == fmt.symmetric
    assert fmt.low <= q.codes.min()
    assert q.codes.max() <= fmt.high
    steps = np.abs(q.scales.astype(np.float32)).repeat(fmt.group(w.shape[-1]), -1)
    # Half a step where the code range reaches the value; one where the largest code is one short of it.
    assert (np.abs(q.decode() - w) <= steps * 1.01).all()


@pytest.mark.parametrize("text", ["i4g32:f16", "i3g32:f32"])
def test_the_better_of_both_scales_is_taken(text: str) -> None:
    fmt, w = WeightFormat.parse(text), weights(64, 128)
    groups = w.reshape(-1, 32)

    def error(scale: np.ndarray) -> np.ndarray:
        scale = scale.astype(fmt.scale_dtype.numpy).astype(np.float32)[:, None]
        return np.square(np.clip(np.rint(groups / scale), fmt.low, fmt.high) * scale - groups).sum(1)

    largest = groups[np.arange(len(groups)), np.abs(groups).argmax(1)]
    best = np.minimum(error(np.abs(largest) / fmt.high), error(largest / fmt.low))
    found = np.square(quantize_rtn(w, fmt).decode().reshape(-1, 32) - groups).sum(1)
    np.testing.assert_allclose(found, best, rtol=1e-3)


def test_grid_values_come_back_exactly() -> None:
    w = np.arange(-8, 8, dtype=np.float32).reshape(1, 16) * 0.25
    np.testing.assert_array_equal(quantize_rtn(w, WeightFormat(4, 16)).decode(), w)
    w = np.arange(16, dtype=np.float32).reshape(1, 16) * 0.5 - 2
    np.testing.assert_array_equal(quantize_rtn(w, WeightFormat(4, 16, symmetric=False)).decode(), w)


@pytest.mark.parametrize("text", FORMATS)
def test_zeros_and_one_sided_groups(text: str) -> None:
    fmt = WeightFormat.parse(text)
    w = np.zeros((2, 128), np.float32)
    assert not quantize_rtn(w, fmt).decode().any()
    for value in (1.0, -1.0):
        np.testing.assert_allclose(quantize_rtn(w + value, fmt).decode(), value, rtol=1e-2)


def test_any_float_type_and_views_are_read() -> None:
    w = weights(8, 64).astype(ml_dtypes.bfloat16)
    expected = quantize_rtn(w.astype(np.float32), WeightFormat(4, 32))
    np.testing.assert_array_equal(quantize_rtn(w, WeightFormat(4, 32)).codes, expected.codes)
    w.flags.writeable = False
    np.testing.assert_array_equal(quantize_rtn(w[::2], WeightFormat(4, 32)).codes, expected.codes[::2])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="group size 32 does not divide 48 columns"):
        quantize_rtn(weights(2, 48), WeightFormat(4, 32))
    with pytest.raises(ValueError, match="do not fit f16; use f32 scales"):
        quantize_rtn(weights(2, 32) * 1e9, WeightFormat(4, 32))


def test_decode_is_the_interpreters_hook() -> None:
    w = weights(4, 64)
    stored = TensorType((4, 64), DType.F32, WeightFormat(8, 32))
    np.testing.assert_array_equal(decode_rtn("@w", stored, w), quantize_rtn(w, WeightFormat(8, 32)).decode())
    assert decode_rtn("@w", TensorType((4, 64), DType.F32), w) is w
