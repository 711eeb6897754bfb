"""Linears on many rows as tensor expressions of whole tiles that one microkernel computes.

The rows of x are first brought into the form that the products take, once, padded to whole tiles: 8-bit codes as
they are, and f32 for quantized weights as 16-bit codes with an f32 scale for each scale group of the weight. 16 bits
over the largest of some ten values keep x to about 2^-16 of that value, closer than f16 for most, and let two
exact integer products be one instruction. The codes of 1 to 8 bits of a block of weight rows are spread to 16 bits
once for all rows of x, and stay in the cache meanwhile.
"""

from __future__ import annotations

from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.kernels.gemm_dot import bf16_of_word, bf16_value, half_of_word
from cosyn.codegen.tvm.kernels.gemm_microkernel import LANES
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_MANY_ROWS, ManyRowsChoice
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.packed_weight import PackedWeight, f32, i32, i64
from cosyn.ir.dtype import DType

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so

_MOST_ROWS = 8
_LARGEST_CODE = 32767.0
_SMALLEST_TOP = 1e-30
"""A largest value of a group below this is as good as 0; its reciprocal would not be finite."""
_LONGEST_CHUNK = 128
"""Columns whose products of 16- and 9-bit numbers fit in an i32."""


def tile_shape(layout: PackedLayout, choice: ManyRowsChoice = DEFAULT_MANY_ROWS) -> tuple[int, int]:
    """Rows and vectors of a tile."""
    vectors = layout.block // LANES
    return min(_MOST_ROWS, choice.accumulators // vectors), vectors


def takes_many_rows(layout: PackedLayout, rows: int | None) -> bool:
    """Whether this file has a form for `rows` (None: any number) rows of x.

    An intrinsic cannot have loops of one step, so a row of one word or one group is too short.
    """
    if rows is not None and rows <= _MOST_ROWS:
        return False
    if layout.format is None:
        return layout.dtype is DType.BF16 and layout.activation == "bf16" and layout.k % 2 == 0 and layout.k > 2
    if layout.activation == "int8":
        return layout.groups == 1 and layout.format.bits == 8 and layout.k % 4 == 0 and layout.k > 4
    return 2 < layout.chunk <= _LONGEST_CHUNK and layout.chunk % 2 == 0 and layout.chunk < layout.k


def many_rows_int8(
    codes: te.Tensor, weight: PackedWeight, choice: ManyRowsChoice = DEFAULT_MANY_ROWS, pairs: bool = False
) -> te.Tensor:
    """Weight scale · (Σ_k codes · weight) as f32 `[padded seq, padded n]`, for 8-bit weights with row scales.

    With `pairs` the rows of x are brought into 16 bits, the even ones of each four columns before the odd ones: what
    products of pairs take.
    """
    layout = weight.layout
    tile, _ = tile_shape(layout, choice)
    x = _padded(codes, tile, pairs)
    j = te.reduce_axis((i64(0), i64(layout.k)), name="j")
    sums = te.compute((x.shape[0],), lambda s: te.sum(x(s, j).astype("int32"), axis=j), name="linear_xsum")
    word, byte = _axis(layout.k // 4, "word"), _axis(4, "byte")
    odd, half = _axis(2, "odd"), _axis(2, "half")

    def product(s: Expr, n: Expr) -> Expr:
        code = (weight.word((), n, word) >> (byte.astype("int32") * 8)) & i32(255)
        return te.sum(x(s, word * 4 + byte).astype("int32") * code, axis=[word, byte])

    def product_of_pairs(s: Expr, n: Expr) -> Expr:
        bit = half.astype("int32") * 16 + odd.astype("int32") * 8
        code = (weight.word((), n, word) >> bit) & i32(255)
        return te.sum(x(s, word * 4 + odd * 2 + half).astype("int32") * code, axis=[word, odd, half])

    shape = (x.shape[0], i64(layout.padded_n))
    part = te.compute(
        shape, product_of_pairs if pairs else product, name="linear_many_pairs" if pairs else "linear_many_int8"
    )

    def scaled(s: Expr, n: Expr) -> Expr:
        exact = part(s, n) - weight.zero((), n, i64(0), "int32") * sums(s)
        return weight.scale((), n, i64(0)) * exact.astype("float32")

    return te.compute(part.shape, scaled, name="linear_acc")


def many_rows_int16(x: te.Tensor, weight: PackedWeight, choice: ManyRowsChoice = DEFAULT_MANY_ROWS) -> te.Tensor:
    """Σ_k x · weight as f32 `[padded seq, padded n]` for quantized weights: x as 16-bit codes."""
    layout, block = weight.layout, weight.layout.block
    tile, _ = tile_shape(layout, choice)
    size, groups, words = layout.chunk, layout.k // layout.chunk, layout.chunk // 2
    codes, scales = _in_16_bits(x, size, tile)
    per_group = layout.group // size

    def row(b: Expr, column: Expr) -> Expr:
        return b * block + column

    wide = te.compute(
        (i64(layout.blocks), i64(layout.k // 2), i64(block)),
        lambda b, w, c: _centred_pair(weight, row(b, c), w),
        name="linear_words",
    )
    factors = te.compute(
        (i64(layout.blocks), i64(groups), i64(block)),
        lambda b, g, c: weight.scale((), row(b, c), tirx.floordiv(g, per_group)),
        name="linear_scales",
    )
    g, word, half = _axis(groups, "g"), _axis(words, "word"), _axis(2, "half")

    def product(s: Expr, n: Expr) -> Expr:
        b, c = tirx.floordiv(n, block), tirx.floormod(n, block)
        exact = codes(s, g * size + word * 2 + half).astype("int32") * half_of_word(wide(b, g * words + word, c), half)
        return te.sum(scales(s, g) * factors(b, g, c) * exact.astype("float32"), axis=[g, word, half])

    return te.compute((codes.shape[0], i64(layout.padded_n)), product, name="linear_many_int16")


def many_rows_bf16(x: te.Tensor, weight: PackedWeight, choice: ManyRowsChoice = DEFAULT_MANY_ROWS) -> te.Tensor:
    """Σ_k x · weight as f32 `[padded seq, padded n]` for bf16 weights and x of bf16 numbers."""
    layout = weight.layout
    tile, _ = tile_shape(layout, choice)

    def upper_half(s: Expr, k: Expr) -> Expr:
        bits = tirx.reinterpret("uint32", x(tirx.min(s, x.shape[0] - 1), k))
        return (bits >> tirx.const(16, "uint32")).astype("uint16")

    halves = te.compute((_padded_rows(x, tile), i64(layout.k)), upper_half, name="linear_x")
    word, half = _axis(layout.k // 2, "word"), _axis(2, "half")

    def product(s: Expr, n: Expr) -> Expr:
        value = bf16_value(halves(s, word * 2 + half)) * bf16_of_word(weight.float_word((), n, word), half)
        return te.sum(value, axis=[word, half])

    return te.compute((halves.shape[0], i64(layout.padded_n)), product, name="linear_many_bf16")


def _axis(extent: int, name: str) -> Any:
    return te.reduce_axis((i64(0), i64(extent)), name=name)


def _padded(x: te.Tensor, tile: int, pairs: bool) -> te.Tensor:
    """x with its last row repeated to whole tiles; `pairs` as in `many_rows_int8`."""

    def at(s: Expr, k: Expr) -> Expr:
        row = tirx.min(s, x.shape[0] - 1)
        if not pairs:
            return x(row, k)
        word, odd, half = tirx.floordiv(k, 4), tirx.floormod(tirx.floordiv(k, 2), 2), tirx.floormod(k, 2)
        return x(row, word * 4 + half * 2 + odd).astype("int16")

    return te.compute((_padded_rows(x, tile), x.shape[1]), at, name="linear_x")


def _padded_rows(x: te.Tensor, tile: int) -> Expr:
    rows = x.shape[0]
    if isinstance(rows, tirx.IntImm):
        return i64(-(-int(rows) // tile) * tile)
    return tirx.floordiv(rows + (tile - 1), tile) * tile


def _in_16_bits(x: te.Tensor, size: int, tile: int) -> tuple[te.Tensor, te.Tensor]:
    """Codes i16 `[padded rows, k]` and scales f32 `[padded rows, groups]`: x ≈ code · scale in groups of `size`."""
    rows, k = _padded_rows(x, tile), int(x.shape[1])
    j = _axis(size, "j")

    def at(s: Expr, column: Expr) -> Expr:
        return x(tirx.min(s, x.shape[0] - 1), column)

    shape = (rows, i64(k // size))
    top = te.compute(shape, lambda s, g: te.max(tirx.abs(at(s, g * size + j)), axis=j), name="linear_xtop")
    scales = te.compute(shape, lambda s, g: top(s, g) * f32(1.0 / _LARGEST_CODE), name="linear_xscale")

    def code(s: Expr, c: Expr) -> Expr:
        largest = top(s, tirx.floordiv(c, size))
        inverse = tirx.Select(largest > f32(_SMALLEST_TOP), f32(_LARGEST_CODE) / largest, f32(0.0))
        rounded = tirx.nearbyint(at(s, c) * inverse)
        return tirx.max(tirx.min(rounded, f32(_LARGEST_CODE)), f32(-_LARGEST_CODE)).astype("int16")

    return te.compute((rows, i64(k)), code, name="linear_x"), scales


def _centred_pair(weight: PackedWeight, row: Expr, word: Expr) -> Expr:
    """Two consecutive codes less their zero, as the 16-bit halves of an i32."""
    zero = weight.zero((), row, tirx.floordiv(word * 2, weight.layout.group), "int32")
    pair = weight.code((), row, word * 2) | (weight.code((), row, word * 2 + 1) << i32(16))
    # The top bits keep the subtraction of one half from borrowing of the other.
    tops = i32(-0x7FFF8000)
    return ((pair | tops) - zero * i32(0x10001)) ^ tops
