"""Sums of 4- or 2-bit codes times f32 activations by AVX-512 BF16, without losing the activations' digits.

x is split into two bf16 numbers, x = high + low with a rest below 2^-17 · |x|; a code is exact in bf16. The
dot product instruction adds two products per 32-bit lane, so that 32 weights take one shift, one table
look-up and two dot products; the f32 path takes six instructions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from tvm import s_tir, te, tirx
from tvm.script import tirx as T

from cosyn.codegen.tvm.kernels.packed_weight import f32, i32, i64

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so

_LANES = 16
_AHEAD = 2048
"""Words (8 KiB) by which the loads are prefetched: 5 % faster out of cache; past the end it does nothing."""
_HIGH_HALF = -65536

# TVM's lowering turns bf16 vectors into f32 before code generation and cannot name the prefetch intrinsic, so
# both are reached through functions in LLVM's own language, which are inlined.
LLVM_FUNCTIONS = """
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
define linkonce_odr <16 x float> @cosyn_dpbf16(<16 x float> %sum, <16 x i32> %a, <16 x i32> %b)
    alwaysinline nounwind "target-cpu"="x86-64-v4" "target-features"="+avx512bf16" {
  %x = bitcast <16 x i32> %a to <32 x bfloat>
  %y = bitcast <16 x i32> %b to <32 x bfloat>
  %r = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(
      <16 x float> %sum, <32 x bfloat> %x, <32 x bfloat> %y)
  ret <16 x float> %r
}
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define linkonce_odr i32 @cosyn_prefetch(ptr %p) alwaysinline nounwind "target-cpu"="x86-64-v4" {
  call void @llvm.prefetch.p0(ptr %p, i32 0, i32 3, i32 1)
  ret i32 0
}
"""


def split_pairs(x: te.Tensor, k: int, bits: int) -> te.Tensor:
    """x f32 `[rows, k]` as pairs of bf16 in i32 `[rows, words, 32 / bits]`, ordered as codes are in words.

    The first half of a word's entries are the high parts: entry j pairs the elements whose codes lie at bit
    `bits · j` and `16 + bits · j`. The second half are the low parts.
    """
    per_word = 32 // bits
    half = per_word // 2

    def at(s: Expr, word: Expr, entry: Expr) -> Expr:
        j = tirx.floormod(entry, half)
        quarter, byte = tirx.floormod(j, 8 // bits), tirx.floordiv(j, 8 // bits)
        first = word * per_word + quarter * 4 + byte
        parts = [_bf16_parts(x(s, first + 2 * i)) for i in (0, 1)]
        low, high = (tirx.Select(entry < half, h, rest) for h, rest in parts)
        return tirx.reinterpret("int32", (low >> tirx.const(16, "uint32")) | high)

    return te.compute((x.shape[0], i64(k // per_word), i64(per_word)), at, name="linear_split")


def pair_product(high: Expr, low: Expr, word: Expr, field: Expr, bits: int) -> Expr:
    """(high + low) · codes of both halves of the word, at bit `bits · field` of each, less 2^(bits-1)."""
    move = field.astype("int32") * bits

    def code(shift: Expr) -> Expr:
        field = (word >> shift) & i32((1 << bits) - 1)
        return field.astype("float32") - f32(float(1 << (bits - 1)))

    def x(pair: Expr, left: bool) -> Expr:
        return tirx.reinterpret("float32", pair << i32(16) if left else pair & i32(_HIGH_HALF))

    return (x(high, True) + x(low, True)) * code(move) + (x(high, False) + x(low, False)) * code(move + 16)


@cache
def bf16_dot(bits: int) -> str:
    """Name of the registered intrinsic for codes of `bits` (4 or 2): loops (row, field) of `pair_product`."""
    half = 16 // bits

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def meaning(x: T.handle, words: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(2 * half),), "int32", offset_factor=1)
        W = T.match_buffer(words, (T.int64(_LANES),), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(_LANES),), "float32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:_LANES], X[0 : 2 * half], W[0:_LANES])
            T.writes(S[0:_LANES])
            for r, j in T.grid(T.int64(_LANES), T.int64(half)):
                with T.sblock("update"):
                    vr, vj = T.axis.remap("SR", [r, j])
                    S[vr] = S[vr] + pair_product(X[vj], X[vj + T.int64(half)], W[vr], vj, bits)

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, words: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(2 * half),), "int32", offset_factor=1)
        W = T.match_buffer(words, (T.int64(_LANES),), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(_LANES),), "float32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:_LANES], X[0 : 2 * half], W[0:_LANES])
            T.writes(S[0:_LANES])
            T.evaluate(T.call_extern("int32", "cosyn_prefetch", T.address_of(W[T.int64(_AHEAD)])))
            S[T.ramp(T.int64(0), 1, _LANES)] = _word_dot(
                S.vload([T.int64(0)], "float32x16"), W.vload([T.int64(0)], "int32x16"), X, bits
            )

    name = f"cosyn_bf16_dot_u{bits}"
    s_tir.TensorIntrin.register(name, meaning, code, override=True)
    return name


def _word_dot(sums: Expr, words: Expr, x: Any, bits: int) -> Expr:
    """All fields of 16 words; high and low parts in chains of their own, to halve the latency."""
    half = 16 // bits
    chains = [sums, tirx.Broadcast(tirx.const(0.0, "float32"), _LANES)]
    for j in range(half):
        shifted = tirx.reinterpret("uint16x32", words) >> tirx.Broadcast(tirx.const(bits * j, "uint16"), 32)
        codes = tirx.call_llvm_pure_intrin("uint16x32", "llvm.x86.avx512.permvar.hi.512", _code_table(bits), shifted)
        for part in (0, 1):
            pair = tirx.Broadcast(x[i64(part * half + j)], _LANES)
            chains[part] = tirx.call_pure_extern(
                "float32x16", "cosyn_dpbf16", chains[part], tirx.reinterpret("int32x16", codes), pair
            )
    return chains[0] + chains[1]


def _code_table(bits: int) -> Expr:
    """bf16 of code - 2^(bits-1) for the low `bits` of a 5-bit index."""
    codes = np.arange(32) % (1 << bits) - (1 << (bits - 1))
    entries = codes.astype(ml_dtypes.bfloat16).view(np.uint16)
    return tirx.Shuffle([tirx.const(int(e), "uint16") for e in entries], list(range(32)))


def _bf16_parts(x: Expr) -> tuple[Expr, Expr]:
    """High and low part of f32 x as bf16, each in the upper half of a u32."""
    high = _rounded(x)
    return high, _rounded(x - tirx.reinterpret("float32", high))


def _rounded(x: Expr) -> Expr:
    """f32 x rounded to bf16, ties to even, as the bits of an f32."""
    bits = tirx.reinterpret("uint32", x)
    tie = (bits >> tirx.const(16, "uint32")) & tirx.const(1, "uint32")
    return (bits + tirx.const(0x7FFF, "uint32") + tie) & tirx.const(0xFFFF0000, "uint32")
