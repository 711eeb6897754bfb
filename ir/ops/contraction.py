"""Ops that contract with weights or with each other: linear, matmul, mixture of experts, gathers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from cosyn.ir.dtype import DType
from cosyn.ir.node import NoAttrs
from cosyn.ir.ops.elementwise import UNARY
from cosyn.ir.ops.op import Array, Kind, Op, OpError, broadcast, compute_dtype
from cosyn.ir.types import Dim, TensorType


@dataclass(frozen=True, slots=True)
class MoeAttrs:
    """`activation`: op name applied to the gate half; `gated`: False where the experts have no gate."""

    activation: str
    gated: bool = True


def _infer_linear(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, weight, *bias = types
    if weight.rank != 2 or x.shape[-1] != weight.shape[1]:
        raise OpError(f"linear needs a weight [n, {x.shape[-1]}], found {weight}")
    if bias and bias[0].shape != weight.shape[:1]:
        raise OpError(f"linear needs a bias [{weight.shape[0]}], found {bias[0]}")
    return (TensorType((*x.shape[:-1], weight.shape[0]), x.dtype),)


def linear(_attrs: NoAttrs, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x · weightᵀ + bias."""
    y = x @ weight.astype(x.dtype, copy=False).T
    result: Array = y if bias is None else y + bias.astype(x.dtype)
    return result


def _linear_ops(_attrs: NoAttrs, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Dim:
    per_output = 2 * operands[0].shape[-1] + (1 if len(operands) > 2 else 0)
    return results[0].elements * per_output


def _infer_linear_i8(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    codes, scales, weight, *bias = types
    if codes.dtype is not DType.I8 or scales.shape != (*codes.shape[:-1], 1):
        raise OpError(f"linear_i8 needs i8 codes and one scale per row, found {codes} and {scales}")
    out = _infer_linear(NoAttrs(), (codes, weight, *bias))[0]
    return (TensorType(out.shape, DType.F32),)


def linear_i8(_attrs: NoAttrs, codes: Array, scales: Array, weight: Array, bias: Array | None = None) -> Array:
    """(codes · weightᵀ) · scales + bias: what a dot product of INT8 codes, exact in INT32, stands for."""
    dtype = compute_dtype(scales, weight)
    y = (codes.astype(dtype) @ weight.astype(dtype).T) * scales
    result: Array = y if bias is None else y + bias.astype(dtype)
    return result


def _infer_matmul(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    a, b = types
    if a.rank < 2 or b.rank < 2 or a.shape[-1] != b.shape[-2]:
        raise OpError(f"cannot multiply {a} by {b}")
    return (TensorType((*broadcast([a.shape[:-2], b.shape[:-2]]), a.shape[-2], b.shape[-1]), a.dtype),)


def _infer_embedding(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    ids, table = types
    if ids.dtype is not DType.I32 or table.rank != 2:
        raise OpError(f"embedding needs i32 ids and a table [rows, dim], found {ids} and {table}")
    return (TensorType((*ids.shape, table.shape[1]), DType.F32),)


def _embedding(_attrs: NoAttrs, ids: Array, table: Array) -> Array:
    return table[ids].astype(compute_dtype(table))


def _infer_take(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, rows = types
    if rows.rank != 1 or rows.dtype is not DType.I32:
        raise OpError(f"take needs row numbers i32[n], found {rows}")
    return (TensorType((*rows.shape, *x.shape[1:]), x.dtype),)


def _infer_take_columns(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, columns = types
    if columns.rank != x.rank or columns.dtype is not DType.I32 or columns.shape[:-1] != x.shape[:-1]:
        raise OpError(f"take_columns needs column numbers i32[…, k] beside {x}, found {columns}")
    return (TensorType(columns.shape, x.dtype),)


def _infer_moe(attrs: MoeAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, weights, ids, up, down = types[:5]
    if attrs.activation not in UNARY:
        raise OpError(f"unknown activation {attrs.activation!r}; known: {sorted(UNARY)}")
    if up.rank != 3 or down.rank != 3 or up.shape[2] != x.shape[-1] or down.shape[1] != x.shape[-1]:
        raise OpError(
            f"moe needs up [experts, n, {x.shape[-1]}] and down [experts, {x.shape[-1]}, m], found {up}, {down}"
        )
    inner = up.shape[1] // 2 if attrs.gated else up.shape[1]
    if inner != down.shape[2] or up.shape[0] != down.shape[0]:
        raise OpError(f"moe's up {up} and down {down} do not fit together")
    if ids.dtype is not DType.I32 or ids.shape != weights.shape:
        raise OpError(f"moe needs i32 expert ids and weights of one shape, found {ids} and {weights}")
    return (TensorType(x.shape, x.dtype),)


def moe(
    attrs: MoeAttrs, x: Array, weights: Array, ids: Array, up: Array, down: Array,
    up_bias: Array | None = None, down_bias: Array | None = None,
) -> Array:  # fmt: skip
    """Σₖ weights[t, k] · downₑ · (act(gateₑ x) ⊙ upₑ x) with e = ids[t, k]; `up` holds gate rows, then up
    rows.
    """
    act = UNARY[attrs.activation][1]
    y = np.zeros_like(x)
    for expert in np.unique(ids):
        rows, choice = np.nonzero(ids == expert)
        h = x[rows] @ up[expert].astype(x.dtype).T
        if up_bias is not None:
            h = h + up_bias[expert].astype(x.dtype)
        if attrs.gated:
            gate, h = np.split(h, 2, -1)
            h = act(gate) * h
        else:
            h = act(h)
        out = h @ down[expert].astype(x.dtype).T
        if down_bias is not None:
            out = out + down_bias[expert].astype(x.dtype)
        np.add.at(y, rows, out * weights[rows, choice][:, None])
    return y


def _moe_ops(attrs: MoeAttrs, operands: Sequence[TensorType], _results: Sequence[TensorType]) -> Dim:
    _x, _weights, ids, up, down = operands[:5]
    per_choice = 2 * up.shape[1] * up.shape[2] + 2 * down.shape[1] * down.shape[2] + 5 * down.shape[2]
    return ids.elements * per_choice


def _moe_read(_attrs: MoeAttrs, operands: Sequence[TensorType], _results: Sequence[TensorType]) -> Dim:
    """Only chosen experts are read: at most one per choice."""
    ids, up = operands[2:4]
    experts = up.shape[0]
    whole = sum((t.nbytes for t in operands[3:]), start=0)
    return sum((t.nbytes for t in operands[:3]), start=0) + sympy.Min(experts, ids.elements) * (whole // experts)


def _infer_expert_linear(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, ids, weight, *bias = types
    if ids.dtype is not DType.I32 or ids.rank != 2:
        raise OpError(f"expert_linear needs i32 expert ids [tokens, k], found {ids}")
    if x.shape[:-1] not in (ids.shape, ids.shape[:1]):
        raise OpError(f"expert_linear needs x of one row per token or per choice in {ids}, found {x}")
    if weight.rank != 3 or weight.shape[2] != x.shape[-1]:
        raise OpError(f"expert_linear needs a weight [experts, n, {x.shape[-1]}], found {weight}")
    if bias and bias[0].shape != weight.shape[:2]:
        expected = ", ".join(map(str, weight.shape[:2]))
        raise OpError(f"expert_linear needs a bias [{expected}], found {bias[0]}")
    return (TensorType((*ids.shape, weight.shape[1]), x.dtype),)


def expert_linear(_attrs: NoAttrs, x: Array, ids: Array, weight: Array, bias: Array | None = None) -> Array:
    """x[t] (or x[t, c]) · weight[ids[t, c]]ᵀ + bias[ids[t, c]] for every choice c of token t."""
    y = np.empty((*ids.shape, weight.shape[1]), x.dtype)
    for expert in np.unique(ids):
        tokens, choice = np.nonzero(ids == expert)
        rows = x[tokens] if x.ndim == 2 else x[tokens, choice]
        y[tokens, choice] = rows @ weight[expert].astype(x.dtype, copy=False).T
        if bias is not None:
            y[tokens, choice] += bias[expert].astype(x.dtype)
    return y


def _expert_read(_attrs: NoAttrs, operands: Sequence[TensorType], _results: Sequence[TensorType]) -> Dim:
    """Only chosen experts are read: at most one per choice."""
    x, ids, *weights = operands
    experts = weights[0].shape[0]
    whole = sum((t.nbytes for t in weights), start=0)
    return x.nbytes + ids.nbytes + sympy.Min(experts, ids.elements) * (whole // experts)


def _infer_mix_experts(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    x, weights = types
    if x.rank != 3 or weights.shape != x.shape[:-1] or weights.dtype is not x.dtype:
        raise OpError(f"mix_experts needs [tokens, k, n] and weights [tokens, k], found {x} and {weights}")
    return (TensorType((x.shape[0], x.shape[2]), x.dtype),)


def mix_experts(_attrs: NoAttrs, x: Array, weights: Array) -> Array:
    """Σₖ weights[t, k] · x[t, k]."""
    result: Array = (x * weights[:, :, None]).sum(1)
    return result


def _gather_read(_attrs: NoAttrs, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Dim:
    """The numbers, and of the first or second operand only what they pick."""
    numbers = operands[0] if operands[0].dtype is DType.I32 else operands[1]
    source = operands[1] if numbers is operands[0] else operands[0]
    return numbers.nbytes + results[0].elements * source.dtype.bits // 8


def _none(_attrs: object, _operands: Sequence[TensorType], _results: Sequence[TensorType]) -> Dim:
    return 0


OPS = (
    Op("linear", "x · weightᵀ (+ bias)", Kind.LINEAR, (2, 3), _infer_linear, linear, _linear_ops),
    Op("linear_i8", "INT8 codes and row scales against a quantized weight (+ bias)", Kind.LINEAR, (3, 4),
       _infer_linear_i8, linear_i8, _linear_ops),
    Op("matmul", "batched matrix product of two values", Kind.OTHER, (2, 2), _infer_matmul,
       lambda _attrs, a, b: a @ b, lambda _attrs, t, r: r[0].elements * 2 * t[0].shape[-1]),
    Op("embedding", "rows of a table, by token id", Kind.GATHER, (2, 2), _infer_embedding, _embedding, _none,
       read=_gather_read),
    Op("take", "rows of a value, by row number", Kind.GATHER, (2, 2), _infer_take,
       lambda _attrs, x, rows: x[rows], _none, read=_gather_read),
    Op("take_columns", "for each row, the columns with the given numbers", Kind.GATHER, (2, 2),
       _infer_take_columns, lambda _attrs, x, columns: np.take_along_axis(x, columns, -1), _none,
       read=_gather_read),
    Op("moe", "mixture of experts: x, weights, expert ids, up [e, 2n, d], down [e, d, n], optional biases",
       Kind.LINEAR, (5, 7), _infer_moe, moe, _moe_ops, MoeAttrs, _moe_read),
    Op("expert_linear", "x, expert ids, weight [e, n, d] (, bias [e, n]): a linear per token and choice",
       Kind.LINEAR, (3, 4), _infer_expert_linear, expert_linear,
       lambda _attrs, t, r: r[0].elements * (2 * t[0].shape[-1] + len(t) - 3), read=_expert_read),
    Op("mix_experts", "weighted sum over the choices of each token", Kind.OTHER, (2, 2),
       _infer_mix_experts, mix_experts, lambda _attrs, t, _r: t[0].elements * 2),
)  # fmt: skip
