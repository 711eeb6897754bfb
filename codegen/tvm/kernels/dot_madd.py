"""Sums of unsigned codes times int8 activations by products of pairs: 8 rows with AVX2, 16 with AVX-512 without VNNI.

`vpmaddubsw` multiplies bytes and adds two products in 16 bits, saturated: no loss for codes of up to 4 bits, of
which a word's sums also fit. 8-bit codes are split into those of even and odd k, and multiplied in 16 bits, as is x.
`vpmaddwd` adds what lies in the two halves of a lane.
"""

from __future__ import annotations

from functools import cache, reduce
from operator import add
from typing import Any

from tvm import s_tir, tirx
from tvm.script import tirx as T

from cosyn.codegen.tvm.kernels.dot_meaning import dot_meaning
from cosyn.codegen.tvm.kernels.packed_weight import i64

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so

_BYTES = {8: "llvm.x86.avx2.pmadd.ub.sw", 16: "llvm.x86.avx512.pmaddubs.w.512"}
_HALVES = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}
"""The instructions by f32 lanes of a vector."""


@cache
def madd_dot(bits: int, lanes: int) -> str:
    """Name of the registered intrinsic for codes of `bits` (8, 4, 2 or 1) in vectors of 8 or 16 `lanes`.

    Sums i32 `[lanes]` += x i8 `[32 / bits]` · codes: the loops (row, quarter, byte) of `linear_part`.
    """
    elements = 32 // bits

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, words: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(elements),), "int8", offset_factor=1, align=1)
        W = T.match_buffer(words, (T.int64(lanes),), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(lanes),), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:lanes], X[0:elements], W[0:lanes])
            T.writes(S[0:lanes])
            S[T.ramp(T.int64(0), 1, lanes)] = S.vload([T.int64(0)], f"int32x{lanes}") + _word_dot(
                W.vload([T.int64(0)], f"int32x{lanes}"), X, bits, lanes
            )

    name = f"cosyn_madd{lanes}_dot_u{bits}"
    s_tir.TensorIntrin.register(name, dot_meaning(lanes, bits), code, override=True)
    return name


def _word_dot(words: Expr, x: Any, bits: int, lanes: int) -> Expr:
    """The sum over all codes of a word of each lane, as i32 vector."""
    fours = [tirx.reinterpret("int32", x.vload([i64(4 * q)], "int8x4")) for q in range(8 // bits)]
    if bits == 8:
        even, odd = _unsigned_halves(words, lanes)
        x_even, x_odd = _signed_halves(tirx.Broadcast(fours[0], lanes), lanes)
        return _add_halves(even, x_even, lanes) + _add_halves(odd, x_odd, lanes)
    pairs = [_add_bytes(_codes(words, q, bits, lanes), tirx.Broadcast(f, lanes), lanes) for q, f in enumerate(fours)]
    return _add_halves(reduce(add, pairs), _halves(1, lanes), lanes)


def _codes(words: Expr, quarter: int, bits: int, lanes: int) -> Expr:
    """Codes number `quarter` of each byte."""
    shifted = words >> tirx.Broadcast(tirx.const(bits * quarter, "int32"), lanes) if quarter else words
    mask = ((1 << bits) - 1) * 0x01010101
    return shifted & tirx.Broadcast(tirx.const(mask, "int32"), lanes)


def _add_bytes(codes: Expr, x: Expr, lanes: int) -> Expr:
    """Products of unsigned and signed bytes of i32 vectors, those of two neighbours added, as i16."""
    operands = tirx.reinterpret(f"uint8x{4 * lanes}", codes), tirx.reinterpret(f"int8x{4 * lanes}", x)
    return tirx.call_llvm_pure_intrin(f"int16x{2 * lanes}", _BYTES[lanes], *operands)


def _add_halves(a: Expr, b: Expr, lanes: int) -> Expr:
    """Products of i16, those of two neighbours added, as i32."""
    return tirx.call_llvm_pure_intrin(f"int32x{lanes}", _HALVES[lanes], a, b)


def _unsigned_halves(words: Expr, lanes: int) -> tuple[Expr, Expr]:
    """Bytes 0 and 2, and 1 and 3, of every word as i16."""
    wide = tirx.reinterpret(f"uint16x{2 * lanes}", words)
    parts = wide & _halves(0xFF, lanes, "uint16"), wide >> _halves(8, lanes, "uint16")
    return tirx.reinterpret(f"int16x{2 * lanes}", parts[0]), tirx.reinterpret(f"int16x{2 * lanes}", parts[1])


def _signed_halves(words: Expr, lanes: int) -> tuple[Expr, Expr]:
    """Signed bytes 0 and 2, and 1 and 3, of every word as i16."""
    wide, byte = tirx.reinterpret(f"int16x{2 * lanes}", words), _halves(8, lanes)
    return (wide << byte) >> byte, wide >> byte


def _halves(value: int, lanes: int, dtype: str = "int16") -> Expr:
    return tirx.Broadcast(tirx.const(value, dtype), 2 * lanes)
