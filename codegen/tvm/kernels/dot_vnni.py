"""Sums of unsigned codes times int8 activations by VNNI, of AVX-512 or AVX: 16 or 8 rows, one word of codes each.

TVM ships `dot_16x4_vnni`, but with i32 operands that LLVM 22 refuses; here the operands are i8 as LLVM wants
them, and the codes are unpacked from words of 8, 4 or 2 bits: four consecutive k to the four bytes of a lane.
"""

from __future__ import annotations

from functools import cache

from tvm import s_tir
from tvm.script import tirx as T

from cosyn.codegen.tvm.kernels.dot_meaning import dot_meaning

_VPDPBUSD = "llvm.x86.avx512.vpdpbusd"


@cache
def vnni_dot(bits: int, lanes: int) -> str:
    """Name of the registered intrinsic for codes of `bits` (8, 4, 2 or 1) in vectors of 8 or 16 `lanes`.

    Sums i32 `[lanes]` += x i8 `[32 / bits]` · codes: the loops (row, quarter, byte) of `linear_part`.
    """
    instruction = f"{_VPDPBUSD}.{32 * lanes}"
    quarters = 8 // bits
    elements = 4 * quarters
    byte_mask = ((1 << bits) - 1) * 0x01010101
    byte_mask -= (byte_mask >> 31) << 32  # as a signed i32

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]  # TVM has no type hints
    def code(x: T.handle, words: T.handle, sums: T.handle) -> None:
        X = T.match_buffer(x, (T.int64(elements),), "int8", offset_factor=1, align=1)
        W = T.match_buffer(words, (T.int64(lanes),), "int32", offset_factor=1)
        S = T.match_buffer(sums, (T.int64(lanes),), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(S[0:lanes], X[0:elements], W[0:lanes])
            T.writes(S[0:lanes])
            for q in T.unroll(T.int64(quarters)):
                S[T.ramp(T.int64(0), 1, lanes)] = T.call_llvm_pure_intrin(
                    f"int32x{lanes}",
                    instruction,
                    S.vload([T.int64(0)], f"int32x{lanes}"),
                    T.reinterpret(
                        f"uint8x{4 * lanes}",
                        T.bitwise_and(
                            T.shift_right(
                                W.vload([T.int64(0)], f"int32x{lanes}"),
                                T.broadcast(T.Cast("int32", q * T.int64(bits)), lanes),
                            ),
                            T.broadcast(T.int32(byte_mask), lanes),
                        ),
                    ),
                    T.reinterpret(
                        f"int8x{4 * lanes}",
                        T.broadcast(T.reinterpret("int32", X.vload([q * T.int64(4)], "int8x4")), lanes),
                    ),
                )

    name = f"cosyn_vnni{lanes}_dot_u{bits}"
    s_tir.TensorIntrin.register(name, dot_meaning(lanes, bits), code, override=True)
    return name
