"""Top-k of each row by selection: k is small (experts per token), rows are short (number of experts)."""

from __future__ import annotations

from tvm import tirx
from tvm.script import tirx as T

from cosyn.codegen.tvm.arena_views import with_arena_views
from cosyn.codegen.tvm.dims import Dims


def topk_prim_func(columns: int, k: int, bound: dict[str, int]) -> tirx.PrimFunc:
    """x f32[seq, columns] → values f32[seq, k] and indices i32[seq, k], largest first, lower index first if equal.

    Choice j is the largest element that comes after choice j - 1 in the order (value descending, index ascending),
    so nothing has to be remembered but the choices themselves.
    """
    rows = Dims(bound).symbol("seq")

    @T.prim_func(s_tir=True)
    def topk(
        x: T.Buffer((rows, T.int64(columns)), "float32"),
        values: T.Buffer((rows, T.int64(k)), "float32"),
        indices: T.Buffer((rows, T.int64(k)), "int32"),
    ) -> None:
        T.func_attr({"tirx.noalias": True})
        for t in range(rows):
            with T.sblock("topk"):
                v_t = T.axis.spatial(rows, t)
                T.reads(x[v_t, 0 : T.int64(columns)])
                T.writes(values[v_t, 0 : T.int64(k)], indices[v_t, 0 : T.int64(k)])
                for j in T.serial(T.int64(k)):
                    values[v_t, j] = T.float32(-3.4028234663852886e38)
                    indices[v_t, j] = T.int32(-1)
                    for c in T.serial(T.int64(columns)):
                        if (
                            (
                                j == T.int64(0)
                                or x[v_t, c] < values[v_t, T.max(j - T.int64(1), T.int64(0))]
                                or (
                                    x[v_t, c] == values[v_t, T.max(j - T.int64(1), T.int64(0))]
                                    and T.Cast("int32", c) > indices[v_t, T.max(j - T.int64(1), T.int64(0))]
                                )
                            )
                            and (indices[v_t, j] < 0 or x[v_t, c] > values[v_t, j])
                        ):
                            values[v_t, j] = x[v_t, c]
                            indices[v_t, j] = T.Cast("int32", c)

    return with_arena_views(topk)
