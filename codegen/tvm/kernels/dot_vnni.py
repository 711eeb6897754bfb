"""Sums of unsigned codes times int8 activations by AVX-512 VNNI: 16 rows, one word of codes each.

TVM ships `dot_16x4_vnni`, but with i32 operands that LLVM 22 refuses; here the operands are i8 as LLVM wants
them, and the codes are unpacked from words of 8, 4 or 2 bits: four consecutive k to the four bytes of a lane.
"""

from __future__ import annotations

from functools import cache

from tvm import s_tir
from tvm.script import tirx as T

from cosyn.codegen.tvm.kernels.dot_meaning import dot_meaning

_LANES = 16
_VPDPBUSD = "llvm.x86.avx512.vpdpbusd.512"


@cache
def vnni_dot(bits: int) -> str:
    """Name of the registered intrinsic for codes of `bits` (8, 4 or 2).

    Sums i32 `[16]` += x i8 `[32 / bits]` · codes: the loops (row, quarter, byte) of `linear_part`.
    """
    quarters = 8 // bits
    elements = 4 * quarters
    byte_mask = ((1 << bits) - 1) * 0x01010101
    byte_mask -= (byte_mask >> 31) << 32  # as a signed i32

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, words: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(elements),), "int8", offset_factor=1, align=1)
        W = T.match_buffer(words, (T.int64(_LANES),), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(_LANES),), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:_LANES], X[0:elements], W[0:_LANES])
            T.writes(S[0:_LANES])
            for q in T.unroll(T.int64(quarters)):
                S[T.ramp(T.int64(0), 1, _LANES)] = T.call_llvm_pure_intrin(
                    "int32x16",
                    _VPDPBUSD,
                    S.vload([T.int64(0)], "int32x16"),
                    T.reinterpret(
                        "uint8x64",
                        T.bitwise_and(
                            T.shift_right(
                                W.vload([T.int64(0)], "int32x16"),
                                T.broadcast(T.Cast("int32", q * T.int64(bits)), _LANES),
                            ),
                            T.broadcast(T.int32(byte_mask), _LANES),
                        ),
                    ),
                    T.reinterpret(
                        "int8x64",
                        T.broadcast(T.reinterpret("int32", X.vload([q * T.int64(4)], "int8x4")), _LANES),
                    ),
                )

    name = f"cosyn_vnni_dot_u{bits}"
    s_tir.TensorIntrin.register(name, dot_meaning(_LANES, bits), code, override=True)
    return name
