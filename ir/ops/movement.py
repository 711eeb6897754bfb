"""Ops that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from cosyn.ir.ops.op import Array, Kind, Op, OpError
from cosyn.ir.types import Dim, TensorType


@dataclass(frozen=True, slots=True)
class ReshapeAttrs:
    """`shape`: dimensions of the result, in which symbols may occur; the elements keep their order."""

    shape: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class TransposeAttrs:
    """`perm`: result axis i is operand axis perm[i]."""

    perm: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SliceAttrs:
    """Elements `start, start + step, …` below `stop` along `axis`."""

    axis: int
    start: int
    stop: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class AxisAttrs:
    """`axis`: the axis acted on, counted from 0."""

    axis: int


def _no_ops(_attrs: Any, _operands: Sequence[TensorType], _results: Sequence[TensorType]) -> Dim:
    return 0


def _infer_reshape(attrs: ReshapeAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    result = TensorType(attrs.shape, types[0].dtype)
    if sympy.expand(result.elements - types[0].elements) != 0:
        raise OpError(f"cannot reshape {types[0]} to {result}: the number of elements differs")
    return (result,)


def _reshape(attrs: ReshapeAttrs, x: Array) -> Array:
    # At run time at most one dimension is unknown: the symbolic one.
    return x.reshape([d if isinstance(d, int) else -1 for d in attrs.shape])


def _infer_transpose(attrs: TransposeAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    if sorted(attrs.perm) != list(range(types[0].rank)):
        raise OpError(f"{attrs.perm} is not a permutation of the axes of {types[0]}")
    return (TensorType(tuple(types[0].shape[p] for p in attrs.perm), types[0].dtype),)


def _infer_slice(attrs: SliceAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    shape = list(types[0].shape)
    if not 0 <= attrs.axis < len(shape):
        raise OpError(f"axis {attrs.axis} is outside {types[0]}")
    extent = shape[attrs.axis]
    if not isinstance(extent, int) or not 0 <= attrs.start < attrs.stop <= extent or attrs.step < 1:
        raise OpError(f"slice {attrs.start}:{attrs.stop}:{attrs.step} does not fit dimension {extent}")
    shape[attrs.axis] = -(-(attrs.stop - attrs.start) // attrs.step)
    return (TensorType(tuple(shape), types[0].dtype),)


def _slice(attrs: SliceAttrs, x: Array) -> Array:
    index = [slice(None)] * x.ndim
    index[attrs.axis] = slice(attrs.start, attrs.stop, attrs.step)
    return x[tuple(index)]


def _infer_concat(attrs: AxisAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    axis, first = attrs.axis, types[0]
    if not 0 <= axis < first.rank:
        raise OpError(f"axis {axis} is outside {first}")
    for t in types:
        others = [d for i, d in enumerate(t.shape) if i != axis]
        if (
            t.dtype != first.dtype
            or t.rank != first.rank
            or others != [d for i, d in enumerate(first.shape) if i != axis]
        ):
            raise OpError(f"cannot join {t} to {first} along axis {axis}")
    shape = list(first.shape)
    shape[axis] = sum((t.shape[axis] for t in types), start=0)
    return (TensorType(tuple(shape), first.dtype),)


def _infer_expand(attrs: ReshapeAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    shape = (1,) * (len(attrs.shape) - types[0].rank) + types[0].shape
    if len(shape) > len(attrs.shape) or any(a not in (1, b) for a, b in zip(shape, attrs.shape, strict=True)):
        raise OpError(f"cannot expand {types[0]} to {attrs.shape}")
    return (TensorType(attrs.shape, types[0].dtype),)


def _expand(attrs: ReshapeAttrs, x: Array) -> Array:
    shape = (1,) * (len(attrs.shape) - x.ndim) + x.shape
    return np.broadcast_to(
        x.reshape(shape),
        [d if isinstance(d, int) else have for d, have in zip(attrs.shape, shape, strict=True)],
    )


OPS = (
    Op("reshape", "same elements in the same order, another shape", Kind.MOVEMENT, (1, 1),
       _infer_reshape, _reshape, _no_ops, ReshapeAttrs),
    Op("transpose", "axes permuted", Kind.MOVEMENT, (1, 1),
       _infer_transpose, lambda attrs, x: x.transpose(attrs.perm), _no_ops, TransposeAttrs),
    Op("slice", "a strided range along one axis", Kind.MOVEMENT, (1, 1),
       _infer_slice, _slice, _no_ops, SliceAttrs, read=lambda _attrs, _operands, r: r[0].nbytes),
    Op("concat", "operands joined along one axis", Kind.MOVEMENT, (1, 4096),
       _infer_concat, lambda attrs, *xs: np.concatenate(xs, attrs.axis), _no_ops, AxisAttrs),
    Op("expand", "broadcast to a shape", Kind.MOVEMENT, (1, 1),
       _infer_expand, _expand, _no_ops, ReshapeAttrs),
)  # fmt: skip
