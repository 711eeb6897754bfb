"""Sums over weights whose groups have integer scales: exact, and the same integers as over expanded 8-bit codes."""

from __future__ import annotations

from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.kernels.packed_weight import PackedWeight, i64, u32

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so


def expanded_weight(weight: PackedWeight) -> PackedWeight:
    """The weight in the layout `expanded`, whose words are the stage `linear_words`.

    For many rows: a block of rows of the weight is expanded once, into the cache, and read as 8-bit codes are.
    """
    layout = weight.layout
    offset = u32(1 << (weight.bits - 1))

    def word(block: Expr, index: Expr, lane: Expr) -> Expr:
        row = block * layout.block + lane
        scale = weight.integer((), row, tirx.floordiv(index * 4, layout.group)).astype("uint32")
        fours = weight.fours((), row, index).astype("uint32")
        # Four bytes at once: the products alone may pass a byte, and the word, but the sums are bytes modulo 2^32.
        return (fours * scale + (u32(128) - scale * offset) * u32(0x01010101)).astype("int32")

    shape = (i64(layout.blocks), i64(layout.k // 4), i64(layout.block))
    words = te.compute(shape, word, name="linear_words")
    return PackedWeight(layout.expanded, [words, weight.piece("scales")])


def scaled_rows(weight: PackedWeight, exact: te.Tensor) -> te.Tensor:
    """Exact i32 sums `[rows, n]` times the float scales of the weight's rows, as f32."""

    def at(s: Expr, n: Expr) -> Expr:
        return weight.scale((), n, i64(0)) * exact(s, n).astype("float32")

    return te.compute(exact.shape, at, name="row_scaled")
