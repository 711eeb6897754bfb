"""Gathers, products of two values and sums over experts as tensor expressions."""

from __future__ import annotations

from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.compute.stage import Stage, StageBuilder, load_float

Expr = Any


def _embedding(stage: Stage) -> list[te.Tensor]:
    ids, table = stage.operands

    def at(*i: Expr) -> Expr:
        return load_float(table(ids(*i[:-1]).astype("int64"), i[-1]), table.dtype)

    return [te.compute(stage.shape, at, name="embedding")]


def _take(stage: Stage) -> list[te.Tensor]:
    x, rows = stage.operands
    return [te.compute(stage.shape, lambda *i: x(rows(i[0]).astype("int64"), *i[1:]), name="take")]


def _take_columns(stage: Stage) -> list[te.Tensor]:
    x, columns = stage.operands
    return [te.compute(stage.shape, lambda *i: x(*i[:-1], columns(*i).astype("int64")), name="take_columns")]


def _matmul(stage: Stage) -> list[te.Tensor]:
    a, b = stage.operands
    k = te.reduce_axis((tirx.IntImm("int64", 0), a.shape[-1]), name="k")

    def lead(x: te.Tensor, index: tuple[Expr, ...]) -> list[Expr]:
        aligned = index[len(index) - (len(x.shape) - 2) :]
        one = [isinstance(d, tirx.IntImm) and int(d) == 1 for d in x.shape[:-2]]
        return [tirx.IntImm("int64", 0) if o else j for j, o in zip(aligned, one, strict=True)]

    def at(*i: Expr) -> Expr:
        *batch, row, column = i
        return te.sum(a(*lead(a, tuple(batch)), row, k) * b(*lead(b, tuple(batch)), k, column), axis=k)

    return [te.compute(stage.shape, at, name="matmul")]


def _mix_experts(stage: Stage) -> list[te.Tensor]:
    x, weights = stage.operands
    choices = range(int(x.shape[1]))

    def at(t: Expr, n: Expr) -> Expr:
        # Written out instead of reduced: a few terms, which fuse as any elementwise value does.
        terms = [weights(t, tirx.IntImm("int64", c)) * x(t, tirx.IntImm("int64", c), n) for c in choices]
        return sum(terms[1:], start=terms[0])

    return [te.compute(stage.shape, at, name="mix_experts")]


BUILDERS: dict[str, StageBuilder] = {
    "embedding": _embedding,
    "take": _take,
    "take_columns": _take_columns,
    "matmul": _matmul,
    "mix_experts": _mix_experts,
}
