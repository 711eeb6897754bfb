"""Sums of codes times int8 activations by NEON's `sdot`: 4 rows, one word of codes each.

Both operands are signed. Codes of fewer bits are small enough to be taken as they are; an 8-bit code has 128
subtracted by flipping its highest bit, which is why `linear` has a form for signed codes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import s_tir, tirx
from tvm.script import tirx as T

from cosyn.codegen.tvm.kernels.dot_meaning import dot_meaning

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so

_LANES = 4
_SDOT = "llvm.aarch64.neon.sdot.v4i32.v16i8"


@cache
def neon_dot(bits: int) -> str:
    """Name of the registered intrinsic for codes of `bits` (8, 4, 2 or 1).

    Sums i32 `[4]` += x i8 `[32 / bits]` · codes (less 128 for 8 bits): the loops (row, quarter, byte) of
    `linear_part`.
    """
    quarters = 8 // bits
    elements = 4 * quarters

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, words: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(elements),), "int8", offset_factor=1, align=1)
        W = T.match_buffer(words, (T.int64(_LANES),), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(_LANES),), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:_LANES], X[0:elements], W[0:_LANES])
            T.writes(S[0:_LANES])
            S[T.ramp(T.int64(0), 1, _LANES)] = _word_dot(
                S.vload([T.int64(0)], "int32x4"), W.vload([T.int64(0)], "int32x4"), X, bits
            )

    name = f"cosyn_neon_dot_{bits}"
    s_tir.TensorIntrin.register(name, dot_meaning(_LANES, bits, 128 if bits == 8 else 0), code, override=True)
    return name


def _word_dot(sums: Expr, words: Expr, x: Any, bits: int) -> Expr:
    """All codes of 4 words, four consecutive k after the other."""
    for quarter in range(8 // bits):
        four = tirx.reinterpret("int32", x.vload([tirx.IntImm("int64", 4 * quarter)], "int8x4"))
        pair = signed_codes(words, quarter, bits), tirx.reinterpret("int8x16", tirx.Broadcast(four, _LANES))
        sums = tirx.call_llvm_pure_intrin("int32x4", _SDOT, sums, *pair)
    return sums


def signed_codes(words: Expr, quarter: int, bits: int) -> Expr:
    """Codes number `quarter` of each byte of i32x4 `words` as i8x16; 8-bit codes less 128."""
    codes = tirx.reinterpret("uint8x16", words)
    if bits == 8:
        return tirx.reinterpret("int8x16", codes ^ _bytes(0x80))
    if quarter:
        codes = codes >> _bytes(bits * quarter)
    if quarter < 8 // bits - 1:
        codes = codes & _bytes((1 << bits) - 1)
    return tirx.reinterpret("int8x16", codes)


def _bytes(value: int) -> Expr:
    return tirx.Broadcast(tirx.const(value, "uint8"), 4 * _LANES)
