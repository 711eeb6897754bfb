"""Vectors of f32 lanes inside the CPU attention kernels: loads, stores, splats and sums across lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import Buffer, Expr, i64

HIDDEN = -3e38
"""Score of a position that a row does not see: e^(HIDDEN - maximum) is 0, whatever the maximum."""


def vector(dtype: str, lanes: int) -> str:
    """TVM's name of a vector type; a vector of one lane is a scalar."""
    return f"{dtype}x{lanes}" if lanes > 1 else dtype


def local(shape: tuple[int, ...], dtype: str = "float32") -> Buffer:
    """Scratch memory of the task."""
    return T.sblock_alloc_buffer(tuple(i64(d) for d in shape), dtype, scope="local")


def splat(value: Expr, lanes: int) -> Expr:
    """`value` in every lane."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def load(buffer: Buffer, lanes: int, *at: Expr | int) -> Expr:
    """The `lanes` elements of `buffer` from `at` on."""
    return buffer.vload(list(at), vector(buffer.dtype, lanes))


def store(buffer: Buffer, value: Expr, *at: Expr | int) -> None:
    """Emit the store of a vector to `buffer` from `at` on."""
    T.add_to_parent(buffer.vstore(list(at), value))


def prefetch(buffer: Buffer, width: int, *at: Expr | int) -> None:
    """Emit loads into the cache of the lines that hold `width` elements of `buffer` from `at` on, maybe past its end.

    Only for LLVM. The processor's own prefetching stops at each chunk of positions, whose rows are few.
    """
    *row, first = at
    size = np.dtype(str(buffer.dtype)).itemsize
    for i in range(0, width, 64 // size):
        place = tirx.address_of(buffer[(*row, first + i)])
        read, near, data = (tirx.const(n, "int32") for n in (0, 3, 1))
        T.evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch", place, read, near, data))


def shuffle(vectors: Sequence[Expr], lanes: Sequence[int]) -> Expr:
    """The named lanes of the joined vectors."""
    return tirx.Shuffle(list(vectors), [tirx.const(n, "int32") for n in lanes])


def fold(x: Expr, lanes: int, combine: Callable[[Expr, Expr], Expr], scratch: Buffer) -> Expr:
    """All lanes of `x` combined into one scalar, by halves, in `scratch` f32[lanes] (why: below)."""
    store(scratch, x, 0)
    while lanes > 1:
        lanes //= 2
        store(scratch, combine(load(scratch, lanes, 0), load(scratch, lanes, lanes)), 0)
    return T.bind(scratch[0])


def transposed_sums(rows: Sequence[Expr], scratch: Buffer) -> Expr:
    """The vector of the sums of n vectors of n lanes each, n a power of two: n - 1 additions in all.

    Partial sums go through `scratch` f32[n / 2 · n], which LLVM keeps in registers: TVM's passes take
    exponential time over a tree of expressions in which each is used twice.
    """
    n, level = len(rows), list(rows)
    even, odd = range(0, 2 * n, 2), range(1, 2 * n, 2)
    while len(level) > 1:
        for i, pair in enumerate(zip(level[::2], level[1::2], strict=True)):
            store(scratch, shuffle(pair, even) + shuffle(pair, odd), i * n)
        level = [load(scratch, n, i * n) for i in range(len(level) // 2)]
    return level[0]
