"""The tile of a many-row linear as an intrinsic: its meaning as loops, its code as a call (`call`) of a microkernel."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import s_tir
from tvm.script import tirx as T

from cosyn.codegen.tvm.kernels.gemm_microkernel import LANES

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so


def half_of_word(word: Expr, half: Expr) -> Expr:
    """The signed 16-bit number in the low (0) or high (1) half of an i32, as i32."""
    return T.shift_right(T.shift_left(word, T.int32(16) - T.Cast("int32", half) * T.int32(16)), T.int32(16))


def bf16_of_word(word: Expr, half: Expr) -> Expr:
    """The bf16 number in the low (0) or high (1) half of an i32, as f32."""
    return T.reinterpret("float32", half_of_word(word, half) << T.int32(16))


def bf16_value(bits: Expr) -> Expr:
    """bf16 bits in a u16 as f32."""
    return T.reinterpret("float32", T.Cast("uint32", bits) << T.uint32(16))


@cache
def gemm_int8(rows: int, vectors: int, k: int, call: str) -> str:
    """Name of the registered intrinsic i32 `[rows, n]` += x i8 `[rows, k]` · codes u8 in words `[k/4, n]`."""
    words, n = k // 4, LANES * vectors

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def meaning(x: T.handle, w: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(rows), T.int64(k)), "int8", offset_factor=1)
        W = T.match_buffer(w, (T.int64(words), T.int64(n)), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(rows), T.int64(n)), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:rows, 0:n], X[0:rows, 0:k], W[0:words, 0:n])
            T.writes(S[0:rows, 0:n])
            for m, r, i, b in T.grid(T.int64(rows), T.int64(n), T.int64(words), T.int64(4)):
                with T.sblock("update"):
                    vm, vr, vi, vb = T.axis.remap("SSRR", [m, r, i, b])
                    S[vm, vr] = S[vm, vr] + T.Cast("int32", X[vm, vi * T.int64(4) + vb]) * T.bitwise_and(
                        T.shift_right(W[vi, vr], T.Cast("int32", vb) * T.int32(8)), T.int32(255)
                    )

    code = _call_without_scales(call, rows, n, k, words, "int8", "int32")
    return _register(f"{call}_k{k}", meaning, code)


@cache
def gemm_pairs(rows: int, vectors: int, k: int, call: str) -> str:
    """Name of the registered intrinsic i32 `[rows, n]` += x i16 `[rows, k]` · codes u8 in words `[k/4, n]`.

    Of each four columns, x has the two even ones first, as `many_rows_int8` orders them for pairs.
    """
    words, n = k // 4, LANES * vectors

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def meaning(x: T.handle, w: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(rows), T.int64(k)), "int16", offset_factor=1)
        W = T.match_buffer(w, (T.int64(words), T.int64(n)), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(rows), T.int64(n)), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:rows, 0:n], X[0:rows, 0:k], W[0:words, 0:n])
            T.writes(S[0:rows, 0:n])
            for m, r, i, o, h in T.grid(T.int64(rows), T.int64(n), T.int64(words), T.int64(2), T.int64(2)):
                with T.sblock("update"):
                    vm, vr, vi, vo, vh = T.axis.remap("SSRRR", [m, r, i, o, h])
                    S[vm, vr] = S[vm, vr] + T.Cast(
                        "int32", X[vm, vi * T.int64(4) + vo * T.int64(2) + vh]
                    ) * T.bitwise_and(
                        T.shift_right(W[vi, vr], T.Cast("int32", vh) * T.int32(16) + T.Cast("int32", vo) * T.int32(8)),
                        T.int32(255),
                    )

    code = _call_without_scales(call, rows, n, k, words, "int16", "int32")
    return _register(f"{call}_k{k}", meaning, code)


@cache
def gemm_bf16(rows: int, vectors: int, k: int, call: str) -> str:
    """Name of the registered intrinsic f32 `[rows, n]` += x bf16 `[rows, k]` · bf16 in words `[k/2, n]`."""
    words, n = k // 2, LANES * vectors

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def meaning(x: T.handle, w: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(rows), T.int64(k)), "uint16", offset_factor=1)
        W = T.match_buffer(w, (T.int64(words), T.int64(n)), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(rows), T.int64(n)), "float32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:rows, 0:n], X[0:rows, 0:k], W[0:words, 0:n])
            T.writes(S[0:rows, 0:n])
            for m, r, i, h in T.grid(T.int64(rows), T.int64(n), T.int64(words), T.int64(2)):
                with T.sblock("update"):
                    vm, vr, vi, vh = T.axis.remap("SSRR", [m, r, i, h])
                    S[vm, vr] = S[vm, vr] + bf16_value(X[vm, vi * T.int64(2) + vh]) * bf16_of_word(W[vi, vr], vh)

    code = _call_without_scales(call, rows, n, k, words, "uint16", "float32")
    return _register(f"{call}_k{k}", meaning, code)


@cache
def gemm_int16(rows: int, vectors: int, k: int, group: int, call: str) -> str:
    """Name of the registered intrinsic f32 `[rows, n]` += Σ over groups of `group` columns of
    x scale `[rows, groups]` · w scale `[groups, n]` · (x i16 `[rows, k]` · i16 in words `[k/2, n]`).
    """
    words, n, groups = group // 2, LANES * vectors, k // group

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def meaning(x: T.handle, w: T.handle, xs: T.handle, ws: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(rows), T.int64(k)), "int16", offset_factor=1)
        W = T.match_buffer(w, (T.int64(words * groups), T.int64(n)), "int32", offset_factor=1)
        XS = T.match_buffer(xs, (T.int64(rows), T.int64(groups)), "float32", offset_factor=1)
        WS = T.match_buffer(ws, (T.int64(groups), T.int64(n)), "float32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(rows), T.int64(n)), "float32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:rows, 0:n], XS[0:rows, 0:groups], WS[0:groups, 0:n], X[0:rows, 0:k], W[0 : words * groups, 0:n])
            T.writes(S[0:rows, 0:n])
            for m, r, g, i, h in T.grid(T.int64(rows), T.int64(n), T.int64(groups), T.int64(words), T.int64(2)):
                with T.sblock("update"):
                    vm, vr, vg, vi, vh = T.axis.remap("SSRRR", [m, r, g, i, h])
                    S[vm, vr] = S[vm, vr] + XS[vm, vg] * WS[vg, vr] * T.Cast(
                        "float32",
                        T.Cast("int32", X[vm, vg * T.int64(group) + vi * T.int64(2) + vh])
                        * half_of_word(W[vg * T.int64(words) + vi, vr], vh),
                    )

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, w: T.handle, xs: T.handle, ws: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(rows), T.int64(k)), "int16", offset_factor=1)
        W = T.match_buffer(w, (T.int64(words * groups), T.int64(n)), "int32", offset_factor=1)
        XS = T.match_buffer(xs, (T.int64(rows), T.int64(groups)), "float32", offset_factor=1)
        WS = T.match_buffer(ws, (T.int64(groups), T.int64(n)), "float32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(rows), T.int64(n)), "float32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:rows, 0:n], XS[0:rows, 0:groups], WS[0:groups, 0:n], X[0:rows, 0:k], W[0 : words * groups, 0:n])
            T.writes(S[0:rows, 0:n])
            T.evaluate(
                T.call_extern(
                    "int32", call,
                    T.address_of(S[0, 0]), T.address_of(X[0, 0]), X.elem_offset // T.int64(2), T.int64(words),
                    T.address_of(W[0, 0]), T.int64(groups), T.address_of(XS[0, 0]), T.address_of(WS[0, 0]),
                )
            )  # fmt: skip

    return _register(f"{call}_k{k}_g{group}", meaning, code)


def _call_without_scales(call: str, rows: int, n: int, k: int, words: int, values: str, sums: str) -> Any:
    """The code of a product of one group: x `[rows, k]` of type `values`, words `[words, n]`, sums `[rows, n]`."""
    per_word = k // words

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, w: T.handle, s: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(rows), T.int64(k)), values, offset_factor=1)
        W = T.match_buffer(w, (T.int64(words), T.int64(n)), "int32", offset_factor=1)
        S = T.match_buffer(s, (T.int64(rows), T.int64(n)), sums, offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:rows, 0:n], X[0:rows, 0:k], W[0:words, 0:n])
            T.writes(S[0:rows, 0:n])
            T.evaluate(
                T.call_extern(
                    "int32", call,
                    T.address_of(S[0, 0]), T.address_of(X[0, 0]), X.elem_offset // T.int64(per_word), T.int64(words),
                    T.address_of(W[0, 0]), T.int64(1), T.address_of(W[0, 0]), T.address_of(W[0, 0]),
                )
            )  # fmt: skip

    return code


def _register(name: str, meaning: Any, code: Any) -> str:
    s_tir.TensorIntrin.register(name, meaning, code, override=True)
    return name
