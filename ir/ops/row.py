"""Ops that reduce over the last axis: norms, softmax, sums, top-k, activation quantization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosyn.ir.dtype import DType
from cosyn.ir.node import NoAttrs
from cosyn.ir.ops.op import Array, Kind, Op, OpError
from cosyn.ir.types import Dim, TensorType


@dataclass(frozen=True, slots=True)
class NormAttrs:
    """`eps` is added to the mean square (or variance) before the root."""

    eps: float


@dataclass(frozen=True, slots=True)
class TopKAttrs:
    """`k`: how many of the largest elements of each row to keep."""

    k: int


def _same(_attrs: Any, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    return (TensorType(types[0].shape, types[0].dtype),)


def _infer_norm(_attrs: NormAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, *affine = types
    for t in affine:
        if t.shape != x.shape[-1:]:
            raise OpError(f"norm weight must have shape [{x.shape[-1]}], found {t}")
    return (TensorType(x.shape, x.dtype),)


def rms_norm(attrs: NormAttrs, x: Array, weight: Array | None = None) -> Array:
    """x / √(mean(x²) + eps) · weight."""
    y = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + x.dtype.type(attrs.eps))
    result: Array = y if weight is None else y * weight.astype(x.dtype)
    return result


def layer_norm(attrs: NormAttrs, x: Array, weight: Array | None = None, bias: Array | None = None) -> Array:
    """(x - mean) / √(variance + eps) · weight + bias."""
    centred = x - x.mean(-1, keepdims=True)
    y = centred / np.sqrt(np.mean(centred * centred, -1, keepdims=True) + x.dtype.type(attrs.eps))
    if weight is not None:
        y = y * weight.astype(x.dtype)
    result: Array = y if bias is None else y + bias.astype(x.dtype)
    return result


def softmax(_attrs: NoAttrs, x: Array) -> Array:
    """e^(x - max) over its sum, along the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    result: Array = e / e.sum(-1, keepdims=True)
    return result


def _reduced(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    return (TensorType((*types[0].shape[:-1], 1), types[0].dtype),)


def _infer_topk(attrs: TopKAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    columns = types[0].shape[-1]
    if not isinstance(columns, int) or not 0 < attrs.k <= columns:
        raise OpError(f"k = {attrs.k} is outside 1..{columns}")
    shape = (*types[0].shape[:-1], attrs.k)
    return TensorType(shape, types[0].dtype), TensorType(shape, DType.I32)


def topk(attrs: TopKAttrs, x: Array) -> tuple[Array, Array]:
    """The k largest per row, largest first (the lower index first among equals), and their indices."""
    order = np.argsort(-x, axis=-1, kind="stable")[..., : attrs.k]
    return np.take_along_axis(x, order, -1), order.astype(np.int32)


def _infer_quantize(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x = types[0]
    return TensorType(x.shape, DType.I8), TensorType((*x.shape[:-1], 1), DType.F32)


def quantize_rows(_attrs: NoAttrs, x: Array) -> tuple[Array, Array]:
    """Codes round(x / scale) (ties to even) in -127..127 and scale = max|x| / 127 of each row; a zero row has
    scale 0.
    """
    scale = np.abs(x).max(-1, keepdims=True) / x.dtype.type(127)
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
    return np.clip(np.rint(x * inverse), -127, 127).astype(np.int8), scale


def _per_element(count: int) -> Any:
    def ops(_attrs: object, operands: Sequence[TensorType], _results: Sequence[TensorType]) -> Dim:
        return operands[0].elements * count

    return ops


OPS = (
    Op("rms_norm", "root-mean-square norm of each row; optional weight (Zhang & Sennrich 2019, eq. 4)",
       Kind.ROW, (1, 2), _infer_norm, rms_norm, _per_element(4), NormAttrs),
    Op("layer_norm", "mean-variance norm of each row; optional weight and bias (Ba et al. 2016, eq. 4)",
       Kind.ROW, (1, 3), _infer_norm, layer_norm, _per_element(7), NormAttrs),
    Op("softmax", "softmax of each row", Kind.ROW, (1, 1), _same, softmax, _per_element(7)),
    Op("sum", "sum of each row, kept as one column", Kind.ROW, (1, 1), _reduced,
       lambda _attrs, x: x.sum(-1, keepdims=True), _per_element(1)),
    Op("mean", "mean of each row, kept as one column", Kind.ROW, (1, 1), _reduced,
       lambda _attrs, x: x.mean(-1, keepdims=True), _per_element(1)),
    Op("max", "largest element of each row, kept as one column", Kind.ROW, (1, 1), _reduced,
       lambda _attrs, x: x.max(-1, keepdims=True), _per_element(1)),
    Op("topk", "the k largest of each row and their indices, largest first", Kind.ROW, (1, 1),
       _infer_topk, topk, _per_element(2), TopKAttrs),
    Op("quantize_rows", "dynamic per-row INT8: codes and one scale per row", Kind.ROW, (1, 1),
       _infer_quantize, quantize_rows, _per_element(3)),
)  # fmt: skip
