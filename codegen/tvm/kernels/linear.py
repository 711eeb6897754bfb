"""Linear layers over packed weights as tensor expressions.

Two forms with one meaning. The neutral form is a single reduction with the dequantization written into it,
which any target can schedule. The CPU form has the same result in the shape that `linear_schedule_cpu`
wants: rows padded to tiles, and for quantized weights and few rows, partial sums per scale group, on codes. Variants
of it serve instructions:

    x86-64   codes times f32 x as 16-bit integers; on many rows whole tiles (`linear_many_rows.py`)
      cpu_madd       AVX2, or AVX-512 without VNNI: tiles take int8 x in 16 bits
      cpu_avx_vnni   AVX2 with dot products of bytes
      cpu_vnni       AVX-512 with them
      cpu_bf16       the same with dot products of bf16, and tiles for bf16 x
    aarch64  8-bit codes less 128 with int8 x
      cpu_signed     dot products of bytes
      cpu_i8mm       matrix products of bytes besides, for tiles on many rows

Stages are named `linear…`; the last one, `linear`, is the result that epilogues read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from tvm import te, tirx

from cosyn.codegen.tvm.kernels.fixed_point import FixedPoint, combined, exact_size
from cosyn.codegen.tvm.kernels.gemm_i8mm import COLUMNS_OF_K
from cosyn.codegen.tvm.kernels.integer_scales import expanded_weight, scaled_rows
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_MANY_ROWS, ManyRowsChoice
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows, tiled_rows
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout, Plane
from cosyn.codegen.tvm.kernels.linear_many_rows import many_rows_bf16, many_rows_int8, many_rows_int16, takes_many_rows
from cosyn.codegen.tvm.kernels.packed_weight import (
    MANTISSA_BITS,
    PackedWeight,
    above_one,
    code_in_word,
    f32,
    i32,
    i64,
)

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so
Form = Literal["neutral", "cpu", "cpu_madd", "cpu_avx_vnni", "cpu_vnni", "cpu_bf16", "cpu_signed", "cpu_i8mm"]
X86_FORMS = ("cpu_madd", "cpu_avx_vnni", "cpu_vnni", "cpu_bf16")
BF16_FORMS = ("cpu_bf16",)
_SIGNED_FORMS = ("cpu_signed", "cpu_i8mm")

_SIGN = 128
"""What an 8-bit code loses when its highest bit is flipped and it is read as signed."""


def row_tile(seq: int | None, choice: ManyRowsChoice = DEFAULT_MANY_ROWS, few: FewRows | None = None) -> int:
    """Rows of x that a CPU kernel for `seq` rows (None: any number) works on at once."""
    if few is not None:
        return few.tile
    return choice.tile_rows if seq is None else min(choice.tile_rows, seq)


def part_stage(plane: Plane) -> str:
    """Name of the stage that sums over a plane of the codes, or over whole codes where that is one stage."""
    return f"linear_part{plane.shift}" if plane.shift else "linear_part"


def linear_compute(
    x: te.Tensor,
    pieces: Sequence[te.Tensor],
    layout: PackedLayout,
    form: Form = "neutral",
    bias: te.Tensor | None = None,
    choice: ManyRowsChoice = DEFAULT_MANY_ROWS,
    few: FewRows | None = None,
) -> te.Tensor:
    """x f32 `[seq, k]` · weightᵀ (+ bias f32/f16 `[n]`) as f32 `[seq, n]`.

    `pieces` are placeholders of `layout.pieces`, in that order; `few` asks for that form (`linear_few_rows.py`). Raises
    ValueError where x does not fit.
    """
    weight = PackedWeight(layout, pieces)
    tile = row_tile(_rows(x), choice, few)
    _check(x, layout, "float32")
    if form == "neutral":
        total = _neutral(x, weight)
    elif few is None and form in (X86_FORMS if layout.format else BF16_FORMS) and takes_many_rows(layout, _rows(x)):
        total = (many_rows_int16 if layout.format else many_rows_bf16)(x, weight, choice)
    elif layout.format is None or (few is None and _rows(x) != 1):
        total = _tiled(x, weight, tile)
    elif takes_fixed_point(layout, form):
        total = _fixed(x, weight, tile)
    else:
        total = _grouped(x, weight, tile)
    return _result(x, total, layout, bias)


def linear_i8_compute(
    codes: te.Tensor,
    scales: te.Tensor,
    pieces: Sequence[te.Tensor],
    layout: PackedLayout,
    form: Form = "neutral",
    bias: te.Tensor | None = None,
    choice: ManyRowsChoice = DEFAULT_MANY_ROWS,
    few: FewRows | None = None,
) -> te.Tensor:
    """(codes i8 `[seq, k]` · weightᵀ) · scales f32 `[seq, 1]` (+ bias) as f32 `[seq, n]`.

    Sums of codes are exact i32, per scale group. `few` asks for that form.
    """
    weight = PackedWeight(layout, pieces)
    _check(codes, layout, "int8")
    if layout.integer_scales and form != "neutral" and _rows(codes) != 1 and few is None:
        weight = expanded_weight(weight)
    if few is None and _takes_int8_tiles(weight.layout, _rows(codes), form):
        return _result(codes, many_rows_int8(codes, weight, choice, form == "cpu_madd"), layout, bias, scales)
    signed = form in _SIGNED_FORMS and weight.layout.whole_words and weight.bits == 8
    total = _grouped(codes, weight, row_tile(_rows(codes), choice, few) if form != "neutral" else 1, signed)
    if weight.layout.integer_scales:
        total = scaled_rows(weight, total)
    return _result(codes, total, layout, bias, scales)


def _takes_int8_tiles(layout: PackedLayout, rows: int | None, form: Form) -> bool:
    """Whether int8 activations have a form of whole tiles for so many rows (None: any number)."""
    fits = form in X86_FORMS or (form == "cpu_i8mm" and layout.k % COLUMNS_OF_K == 0)
    return fits and takes_many_rows(layout, rows)


def takes_fixed_point(layout: PackedLayout, form: Form) -> bool:
    """Whether one row of f32 x is multiplied as integers."""
    return (
        form in X86_FORMS
        and layout.format is not None
        and layout.whole_words
        and layout.chunk <= exact_size(layout.format.bits)
    )


def _check(x: te.Tensor, layout: PackedLayout, dtype: str) -> None:
    if x.dtype != dtype or len(x.shape) != 2 or int(x.shape[1]) != layout.k or layout.experts:
        expected = f"x {dtype}[seq, {layout.k}] and a weight of rank 2"
        raise ValueError(f"expected {expected}, found x {x.dtype}{list(x.shape)} and {layout}")


def _rows(x: te.Tensor) -> int | None:
    return int(x.shape[0]) if isinstance(x.shape[0], tirx.IntImm) else None


def _axis(extent: int, name: str) -> Any:
    return te.reduce_axis((i64(0), i64(extent)), name=name)


def _result(
    x: te.Tensor,
    total: te.Tensor,
    layout: PackedLayout,
    bias: te.Tensor | None,
    scales: te.Tensor | None = None,
) -> te.Tensor:
    """The rows and columns of `total` that are not padding, times row scales, plus bias."""

    def at(s: Expr, n: Expr) -> Expr:
        value = total(s, n) if scales is None else total(s, n) * scales(s, i64(0))
        return value if bias is None else value + bias(n).astype("float32")

    return te.compute((x.shape[0], i64(layout.n)), at, name="linear")


def _neutral(x: te.Tensor, weight: PackedWeight) -> te.Tensor:
    layout = weight.layout
    k = _axis(layout.k, "k")
    return te.compute(
        (x.shape[0], i64(layout.n)),
        lambda s, n: te.sum(x(s, k) * weight.value((), n, k), axis=k),
        name="linear_acc",
    )


def _tiled(x: te.Tensor, weight: PackedWeight, tile: int) -> te.Tensor:
    layout = weight.layout
    padded, row = tiled_rows(x, tile)
    values = te.compute(
        (i64(layout.padded_n), i64(layout.k)),
        lambda n, k: weight.value((), n, k, fast=True),
        name="linear_weight",
    )
    k = _axis(layout.k, "k")
    return te.compute(
        (padded, i64(layout.padded_n)),
        lambda s, n: te.sum(x(row(s), k) * values(n, k), axis=k),
        name="linear_acc",
    )


def _grouped(x: te.Tensor, weight: PackedWeight, tile: int, signed: bool = False) -> te.Tensor:
    """Σ_g scale · (Σ_j x · code - zero · Σ_j x): multiplies codes as they are, or 8-bit codes less 128 (`signed`)."""
    layout = weight.layout
    padded, row = tiled_rows(x, tile)
    size, groups = layout.chunk, layout.k // layout.chunk
    per_group = layout.group // layout.chunk
    integer = x.dtype == "int8"
    dtype = "int32" if integer else "float32"
    part = _partial_sums(x, weight, padded, row, _SIGN if signed else 0)
    g = _axis(groups, "g")
    centred = signed and layout.format is not None and layout.format.symmetric
    sums = None if centred else _group_sums(x, size, dtype)

    def scaled(s: Expr, n: Expr) -> Expr:
        at = tirx.floordiv(g, per_group)
        if sums is None:
            return weight.scale((), n, at) * part(s, g, n).astype("float32")
        sum_x, zero = sums(row(s), g), weight.zero((), n, at, dtype)
        if signed:
            zero = zero - i32(_SIGN)
        if layout.integer_scales:
            return weight.integer((), n, at) * (part(s, g, n) - zero * sum_x)
        if integer:
            exact = part(s, g, n) - zero * sum_x
            return weight.scale((), n, at) * exact.astype("float32")
        # part holds Σ x · (1 + code / 2^bits).
        unit = f32(2.0**weight.bits)
        return weight.scale((), n, at) * (part(s, g, n) * unit - sum_x * (zero + unit))

    return te.compute((padded, i64(layout.padded_n)), lambda s, n: te.sum(scaled(s, n), axis=g), name="linear_acc")


def _fixed(x: te.Tensor, weight: PackedWeight, tile: int) -> te.Tensor:
    """Σ_g scale · (Σ_j x · code - zero · Σ_j x), x as integers with a scale per group."""
    layout, size = weight.layout, weight.layout.chunk
    per_group = layout.group // size
    padded, row = tiled_rows(x, tile)
    fixed = FixedPoint(x, size, padded, row)
    part = _partial_sums(fixed.parts, weight, fixed.parts.shape[0], lambda s: s)
    sums = _group_sums(fixed.parts, size, "int32")
    g = _axis(layout.k // size, "g")

    def scaled(s: Expr, n: Expr) -> Expr:
        at = tirx.floordiv(g, per_group)
        dot = combined(part(s * 2, g, n), part(s * 2 + 1, g, n))
        sum_x = combined(sums(s * 2, g), sums(s * 2 + 1, g))
        exact = dot - weight.zero((), n, at, "int32") * sum_x
        return (weight.scale((), n, at) * fixed.scale(s, g)) * exact.astype("float32")

    return te.compute((padded, i64(layout.padded_n)), lambda s, n: te.sum(scaled(s, n), axis=g), name="linear_acc")


def _group_sums(x: te.Tensor, size: int, dtype: str) -> te.Tensor:
    """Σ x over runs of `size` columns."""
    j = _axis(size, "j")
    return te.compute(
        (x.shape[0], i64(int(x.shape[1]) // size)),
        lambda s, g: te.sum(x(s, g * size + j).astype(dtype), axis=j),
        name="linear_xsum",
    )


def _partial_sums(
    x: te.Tensor, weight: PackedWeight, padded: Expr, row: Any, less: int = 0
) -> Callable[[Expr, Expr, Expr], Expr]:
    """(row, chunk, n) → Σ x · (code - `less`) (int8 x), or Σ x · (1 + code / 2^bits), of a chunk's columns.

    `less` is for codes of one plane in whole words.
    """
    layout, size = weight.layout, weight.layout.chunk
    shape = (padded, i64(layout.k // size), i64(layout.padded_n))
    integer = x.dtype == "int8"
    if layout.whole_words and (integer or len(layout.planes) == 1):
        stages = [
            te.compute(shape, _plane_sum(x, weight, row, plane, less), name=part_stage(plane))
            for plane in layout.planes
        ]
        if len(stages) == 1:
            return lambda s, g, n: stages[0](s, g, n)
        factors = [1 << plane.shift for plane in layout.planes]
        return lambda s, g, n: sum(part(s, g, n) * factor for part, factor in zip(stages, factors, strict=True))
    code = weight.code if integer else weight.code_above_one
    i = _axis(size, "i")

    def at(s: Expr, g: Expr, n: Expr) -> Expr:
        column = g * size + i
        return te.sum(x(row(s), column).astype("int32" if integer else "float32") * code((), n, column), axis=i)

    part = te.compute(shape, at, name="linear_part")
    return lambda s, g, n: part(s, g, n)


def _plane_sum(
    x: te.Tensor, weight: PackedWeight, row: Any, plane: Plane, less: int
) -> Callable[[Expr, Expr, Expr], Expr]:
    """(row, chunk, n) → the sum over one plane of the codes, of which a chunk is whole words."""
    size, step = weight.layout.chunk, plane.per_word
    words = size // step
    word, byte = _axis(words, "word"), _axis(4, "byte")
    quarter = _axis(step // 4, "quarter") if step > 4 else None
    axes = [a for a in (word, quarter, byte) if a is not None]
    integer = x.dtype == "int8"

    def at(s: Expr, g: Expr, n: Expr) -> Expr:
        stored = weight.word((), n, g * words + word, plane)
        if integer:
            code = code_in_word(stored, quarter, byte, plane.bits)
            if less:
                code = code - i32(less)
        else:
            code = above_one(code_in_word(stored, quarter, byte, plane.bits, MANTISSA_BITS - plane.bits))
        element = byte if quarter is None else quarter * 4 + byte
        value = x(row(s), g * size + word * step + element).astype("int32" if integer else "float32")
        return te.sum(value * code, axis=axes)

    return at
