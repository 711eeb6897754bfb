"""Weights to the arrays of a PackedLayout and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout, Plane
from cosyn.ir.dtype import DType
from cosyn.ir.weight_format import QuantizedWeight

Array = npt.NDArray[Any]
Weight = Array | QuantizedWeight


class PackingError(ValueError):
    """A weight that does not fit the layout; the message says what was expected and found."""


def pack(layout: PackedLayout, weight: Weight) -> dict[str, Array]:
    """Piece name → array for a weight `[n, k]` (or `[experts, n, k]`).

    A float layout takes an array of any float dtype and rounds it to the layout's; a layout with a format
    takes a QuantizedWeight `as_stored`. Temporaries are a few row blocks. Raises PackingError where they
    do not fit.
    """
    _check(layout, weight)
    out = {p.name: np.zeros(p.shape, p.dtype) for p in layout.pieces}
    for expert in range(max(layout.experts, 1)):
        for first in range(0, layout.n, layout.block):
            rows = slice(first, min(first + layout.block, layout.n))
            index = (expert,) if layout.experts else ()
            block = {name: array[(*index, first // layout.block)] for name, array in out.items()}
            if isinstance(weight, QuantizedWeight):
                _pack_codes(layout, block, weight, (*index, rows))
            else:
                _pack_float(layout, block, weight[(*index, rows)])
    return out


def as_stored(layout: PackedLayout, weight: QuantizedWeight) -> QuantizedWeight:
    """The same values as `weight`, with integer scales for the layout's groups, or expanded where it has none."""
    fmt = layout.format
    if fmt is None or not fmt.integer_scales or weight.integers is None:
        return weight.expanded()
    repeated = np.repeat(weight.integers, weight.format.group(layout.k) // layout.group, -1)
    return replace(weight, format=fmt, integers=np.ascontiguousarray(repeated[..., : layout.groups]))


def unpack(layout: PackedLayout, pieces: dict[str, Array]) -> Weight:
    """The weight that `pack` was given: a float array of the layout's dtype, or a QuantizedWeight."""
    if layout.format is None:
        return _unpack_float(layout, pieces)
    fmt = layout.format
    codes = np.zeros((*_lead(layout), layout.padded_n, layout.k), np.uint8)
    for plane in layout.planes:
        words = pieces[f"codes{plane.bits}"].view(np.uint32)
        for element in range(plane.per_word):
            columns = range(element, layout.k, plane.per_word)
            shifted = words[..., : len(columns), :] >> np.uint32(plane.bit(element))
            part = shifted & np.uint32((1 << plane.bits) - 1)
            codes[..., element :: plane.per_word] |= _rows_first(part.astype(np.uint8) << plane.shift)
    codes = codes[..., : layout.n, :]
    signed = (codes.astype(np.int16) + fmt.low).astype(np.int8) if fmt.symmetric else codes
    scales = _rows_first(pieces["scales"])[..., : layout.n, :]
    if fmt.scale_dtype is DType.BF16:
        scales = scales.view(DType.BF16.numpy)
    zeros = None if fmt.symmetric else _rows_first(pieces["zeros"])[..., : layout.n, :]
    integers = _rows_first(pieces["integers"])[..., : layout.n, :] if fmt.integer_scales else None
    return QuantizedWeight(fmt, signed, scales, zeros, integers)


def _check(layout: PackedLayout, weight: Weight) -> None:
    shape = (*_lead(layout), layout.n, layout.k)
    if layout.format is None:
        if isinstance(weight, QuantizedWeight):
            raise PackingError(f"expected a {layout.dtype!r} array, found codes of format {weight.format}")
        if weight.shape != shape:
            raise PackingError(f"expected a weight of shape {shape}, found {weight.shape}")
        return
    if not isinstance(weight, QuantizedWeight):
        raise PackingError(f"expected a weight in format {layout.format}, found an array of {weight.dtype}")
    if weight.format != layout.format or weight.codes.shape != shape:
        raise PackingError(
            f"expected format {layout.format} of shape {shape}, found {weight.format} of {weight.codes.shape}"
        )
    if (weight.zeros is None) != layout.format.symmetric:
        raise PackingError(f"format {layout.format} and the presence of zero points do not agree")


def _pack_float(layout: PackedLayout, out: dict[str, Array], rows: Array) -> None:
    count = len(rows)
    values = rows.astype(layout.dtype.numpy, copy=False)
    if layout.dtype is not DType.BF16:
        out["values"][:, :count] = values.T
        return
    if layout.k % 2:
        values = np.pad(values, ((0, 0), (0, 1)))
    out["words"][:, :count] = np.ascontiguousarray(values).view(np.int32).T


def _pack_codes(layout: PackedLayout, out: dict[str, Array], weight: QuantizedWeight, index: tuple[Any, ...]) -> None:
    codes = weight.codes[index]
    count = len(codes)
    if codes.dtype == np.int8:
        codes = codes.view(np.uint8) ^ np.uint8(1 << (weight.format.bits - 1))
    # Whole words of every plane, so that codes can be looked at four at a time.
    width = -(-layout.k // 32) * 32
    if width != layout.k or not codes.flags.c_contiguous:
        padded = np.zeros((count, width), np.uint8)
        padded[:, : layout.k] = codes
        codes = padded
    fours = codes.view(np.uint32)
    for plane in layout.planes:
        piece = out[f"codes{plane.bits}"]
        piece[:, :count] = _words(fours, plane)[:, : piece.shape[0]].view(np.int32).T
    scales = weight.scales[index].astype(weight.format.scale_dtype.numpy, copy=False)
    out["scales"][:, :count] = (scales.view(np.uint16) if out["scales"].dtype == np.uint16 else scales).T
    if weight.integers is not None:
        out["integers"][:, :count] = weight.integers[index].T
    if weight.zeros is not None:
        out["zeros"][:, :count] = weight.zeros[index].T


def _words(fours: npt.NDArray[np.uint32], plane: Plane) -> npt.NDArray[np.uint32]:
    """Words of a plane from codes `[rows, k / 4]`, four codes to a u32."""
    mask = np.uint32(((1 << plane.bits) - 1) * 0x01010101)
    step = plane.per_word // 4
    words = (fours[:, ::step] >> np.uint32(plane.shift)) & mask
    for j in range(1, step):
        words |= ((fours[:, j::step] >> np.uint32(plane.shift)) & mask) << np.uint32(plane.bits * j)
    return words


def _unpack_float(layout: PackedLayout, pieces: dict[str, Array]) -> Array:
    if layout.dtype is not DType.BF16:
        return np.ascontiguousarray(_rows_first(pieces["values"])[..., : layout.n, :])
    words = np.ascontiguousarray(_rows_first(pieces["words"])[..., : layout.n, :])
    return words.view(DType.BF16.numpy)[..., : layout.k]


def _rows_first(piece: Array) -> Array:
    """`[..., blocks, x, block]` → `[..., rows, x]`."""
    *lead, blocks, columns, block = piece.shape
    return np.ascontiguousarray(np.swapaxes(piece, -1, -2)).reshape(*lead, blocks * block, columns)


def _lead(layout: PackedLayout) -> tuple[int, ...]:
    return (layout.experts,) if layout.experts else ()
