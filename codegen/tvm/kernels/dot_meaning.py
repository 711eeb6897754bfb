"""What an intrinsic of a dot product of bytes means: loops over rows, and over the codes of one word of each."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script import tirx as T

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so


def dot_meaning(lanes: int, bits: int, less: int = 0) -> tirx.PrimFunc:
    """Sums i32 `[lanes]` += x i8 `[32 / bits]` · (codes of `bits` bits in i32 `[lanes]`, less `less`).

    Its loops are (row, quarter, byte) of `linear_part`, where 8-bit codes have no quarters.
    """
    quarters = 8 // bits
    elements = 4 * quarters

    def code(word: Expr, byte: Expr, quarter: Expr | None = None) -> Expr:
        bit = T.Cast("int32", byte) * T.int32(8)
        if quarter is not None:
            bit = bit + T.Cast("int32", quarter) * T.int32(bits)
        field = T.bitwise_and(T.shift_right(word, bit), T.int32((1 << bits) - 1))
        return field - T.int32(less) if less else field

    if quarters == 1:

        @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
        def meaning(x: T.handle, words: T.handle, sums: T.handle) -> None:
            X = T.match_buffer(x, (T.int64(4),), "int8", offset_factor=1, align=1)
            W = T.match_buffer(words, (T.int64(lanes),), "int32", offset_factor=1)
            S = T.match_buffer(sums, (T.int64(lanes),), "int32", offset_factor=1, scope="local")
            with T.sblock("root"):
                T.reads(S[0:lanes], X[0:4], W[0:lanes])
                T.writes(S[0:lanes])
                for r, b in T.grid(T.int64(lanes), T.int64(4)):
                    with T.sblock("update"):
                        vr, vb = T.axis.remap("SR", [r, b])
                        S[vr] = S[vr] + T.Cast("int32", X[vb]) * code(W[vr], vb)

    else:

        @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
        def meaning(x: T.handle, words: T.handle, sums: T.handle) -> None:
            X = T.match_buffer(x, (T.int64(elements),), "int8", offset_factor=1, align=1)
            W = T.match_buffer(words, (T.int64(lanes),), "int32", offset_factor=1)
            S = T.match_buffer(sums, (T.int64(lanes),), "int32", offset_factor=1, scope="local")
            with T.sblock("root"):
                T.reads(S[0:lanes], X[0:elements], W[0:lanes])
                T.writes(S[0:lanes])
                for r, q, b in T.grid(T.int64(lanes), T.int64(quarters), T.int64(4)):
                    with T.sblock("update"):
                        vr, vq, vb = T.axis.remap("SRR", [r, q, b])
                        S[vr] = S[vr] + T.Cast("int32", X[vq * T.int64(4) + vb]) * code(W[vr], vb, vq)

    return meaning
