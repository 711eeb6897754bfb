"""Top-k of each row by selection: k is small (experts per token), rows are short (number of experts)."""

from __future__ import annotations

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import argument, f32, i64

_LOWEST = -3.4028234663852886e38


def topk_prim_func(columns: int, k: int, seq: int | None = None) -> tirx.PrimFunc:
    """x f32[seq, columns] → values f32[seq, k] and indices i32[seq, k], largest first, lower index first if equal.

    Choice j is the largest element that comes after choice j - 1 in the order (value descending, index ascending),
    so nothing has to be remembered but the choices themselves. `seq` fixes the number of rows.
    """
    rows = i64(seq) if seq is not None else tirx.Var("seq", "int64")
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name("topk")
            T.func_attr({"tirx.noalias": True})
            x = argument("x", (rows, columns), "float32")
            values = argument("values", (rows, k), "float32")
            indices = argument("indices", (rows, k), "int32")
            with T.grid(rows) as t, T.sblock("topk"):
                row = T.axis.spatial(rows, t, dtype="int64")
                T.reads(x[row, 0:columns])
                T.writes(values[row, 0:k], indices[row, 0:k])
                with T.serial(i64(0), i64(k)) as j:
                    T.buffer_store(values, f32(_LOWEST), [row, j])
                    T.buffer_store(indices, tirx.const(-1, "int32"), [row, j])
                    before = tirx.max(j - 1, i64(0))
                    with T.serial(i64(0), i64(columns)) as c:
                        value, index = x[row, c], c.astype("int32")
                        later = tirx.any(
                            j == 0,
                            value < values[row, before],
                            tirx.all(value == values[row, before], index > indices[row, before]),
                        )
                        better = tirx.any(indices[row, j] < 0, value > values[row, j])
                        with T.If(tirx.all(later, better)), T.Then():
                            T.buffer_store(values, value, [row, j])
                            T.buffer_store(indices, index, [row, j])
        return builder.get()
