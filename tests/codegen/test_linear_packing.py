"""Packed layouts: what they hold, that they can be read back, and what they refuse."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from linear_cases import random_weight, weight_type

from cosyn.codegen.tvm.kernels.linear_layout import LayoutError, layout_for, planes_of
from cosyn.codegen.tvm.kernels.packing import PackingError, as_stored, pack, unpack
from cosyn.ir.dtype import DType
from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import QuantizedWeight, WeightFormat

STORED = [
    "f32", "f16", "bf16", "i4g32:f16", "u4g128:f16", "i8row:f32", "i2g32:f16", "u3g32:bf16", "i5g32:f16",
    "i6g32:f16", "u7g32:f16",
]  # fmt: skip


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(("n", "k", "experts"), [(1, 1, 0), (7, 33, 0), (172, 172, 0), (33, 64, 3)])
def test_unpack_gives_back_what_was_packed(n: int, k: int, experts: int, stored: str) -> None:
    kind = weight_type(n, k, stored, experts)
    layout = layout_for(kind)
    weight = random_weight(kind)
    pieces = pack(layout, weight)
    assert {name: (a.shape, a.dtype.name) for name, a in pieces.items()} == {
        p.name: (p.shape, p.dtype) for p in layout.pieces
    }
    found = unpack(layout, pieces)
    if isinstance(weight, QuantizedWeight):
        assert isinstance(found, QuantizedWeight)
        np.testing.assert_array_equal(found.codes, weight.codes)
        np.testing.assert_array_equal(found.scales, weight.scales)
        assert (found.zeros is None) == (weight.zeros is None)
        if weight.zeros is not None:
            np.testing.assert_array_equal(found.zeros, weight.zeros)
    else:
        np.testing.assert_array_equal(found, weight)


def test_four_bit_words_hold_eight_columns_of_a_row_in_dot_product_order() -> None:
    codes = np.zeros((16, 8), np.int8)
    codes[3] = np.arange(8) - 8  # stored as 0..7
    weight = QuantizedWeight(WeightFormat(4, 8), codes, np.ones((16, 1), np.float16))
    layout = layout_for(TensorType((16, 8), DType.F32, weight.format))
    words = pack(layout, weight)["codes4"].view(np.uint32)
    # Bytes 0..3 hold columns 0..3 in their low halves and 4..7 in their high halves.
    assert words[0, 0, 3] == 0x73_62_51_40
    assert words[0, 0, 0] == 0x88_88_88_88


@pytest.mark.parametrize("stored", ["i4g32u8:f32", "i4g128u8:f32", "i3g128u8:f32", "i4g16u8.8of16:f32"])
@pytest.mark.parametrize(("n", "k"), [(7, 32), (33, 2080), (5, 100)])
def test_integer_scales_keep_the_values(n: int, k: int, stored: str) -> None:
    kind = weight_type(n, k, stored)
    layout = layout_for(kind, "int8")
    weight = random_weight(kind)
    assert isinstance(weight, QuantizedWeight)
    found = unpack(layout, pack(layout, as_stored(layout, weight)))
    assert isinstance(found, QuantizedWeight)
    assert layout.integer_scales == (k != 100)
    np.testing.assert_array_equal(found.expanded().codes, weight.expanded().codes)
    np.testing.assert_array_equal(found.scales, weight.scales)


def test_float_activations_read_expanded_codes() -> None:
    assert str(layout_for(weight_type(8, 64, "i4g32u8:f32")).format) == "i8row:f32"


@pytest.mark.parametrize(("stored", "activation"), [("i4g32:f16", "float"), ("i4g32u8:f32", "int8")])
def test_a_packed_weight_takes_the_bytes_of_its_format(stored: str, activation: Literal["float", "int8"]) -> None:
    kind = weight_type(2048, 5632, stored)
    assert layout_for(kind, activation).nbytes == kind.nbytes


@pytest.mark.parametrize("bits", range(2, 9))
def test_planes_cover_every_bit_once(bits: int) -> None:
    covered = [p.shift + i for p in planes_of(bits) for i in range(p.bits)]
    assert sorted(covered) == list(range(bits))


def test_rows_are_padded_as_little_as_a_block_allows() -> None:
    blocks = {n: layout_for(TensorType((n, 8), DType.F32)).block for n in (1, 32, 64, 172, 288, 2048)}
    assert blocks == {1: 16, 32: 32, 64: 64, 172: 16, 288: 32, 2048: 64}


@pytest.mark.parametrize(
    ("kind", "activation", "message"),
    [
        (TensorType((4,), DType.F32), "float", "static shape"),
        (TensorType((4, 4), DType.I32), "float", "f32, f16 or bf16"),
        (TensorType((4, 4), DType.F32), "int8", "int8 activations need a quantized weight"),
    ],
)
def test_types_without_a_layout_are_refused(kind: TensorType, activation: str, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        layout_for(kind, "int8" if activation == "int8" else "float")


def test_weights_that_do_not_fit_are_refused() -> None:
    layout = layout_for(weight_type(4, 8, "i4g8:f16"))
    with pytest.raises(PackingError, match="expected a weight in format i4g8:f16, found an array of float32"):
        pack(layout, np.zeros((4, 8), np.float32))
    with pytest.raises(PackingError, match="found i8g8:f16"):
        pack(layout, random_weight(weight_type(4, 8, "i8g8:f16")))
    with pytest.raises(PackingError, match=r"expected a weight of shape \(4, 8\), found \(8, 4\)"):
        pack(layout_for(weight_type(4, 8, "f32")), np.zeros((8, 4), np.float32))
