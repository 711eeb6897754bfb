"""Element access to a packed weight inside a tensor expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout, Plane
from cosyn.ir.dtype import DType

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so

MANTISSA_BITS = 23
_ONE_BITS = 0x3F800000


def i64(value: int) -> Expr:
    """An int64 constant: the one integer width of shapes and indices."""
    return tirx.IntImm("int64", value)


def i32(value: int) -> Expr:
    """An int32 constant."""
    return tirx.const(value, "int32")


def u32(value: int) -> Expr:
    """A uint32 constant, for arithmetic modulo 2^32."""
    return tirx.const(value, "uint32")


def f32(value: float) -> Expr:
    """A float32 constant."""
    return tirx.const(value, "float32")


def stored_float(value: Expr, dtype: str) -> Expr:
    """A stored float of TVM type `dtype` (uint16 holds bf16 bits) as f32."""
    if dtype == "uint16":
        return tirx.reinterpret("float32", value.astype("uint32") << tirx.const(16, "uint32"))
    return value if dtype == "float32" else value.astype("float32")


class PackedWeight:
    """The pieces of a layout as a matrix; `lead` is `(expert,)` for a weight with experts, else `()`."""

    def __init__(self, layout: PackedLayout, pieces: Sequence[te.Tensor]) -> None:
        expected = [p.name for p in layout.pieces]
        if len(pieces) != len(expected):
            raise ValueError(f"the layout has the pieces {expected}, found {len(pieces)} tensors")
        self.layout = layout
        self._pieces = dict(zip(expected, pieces, strict=True))

    def piece(self, name: str) -> te.Tensor:
        """The tensor of a piece."""
        return self._pieces[name]

    @property
    def bits(self) -> int:
        """Bits of a code; 0 for a float weight."""
        return self.layout.format.bits if self.layout.format else 0

    def code(self, lead: Sequence[Expr], row: Expr, k: Expr, above: int = 0) -> Expr:
        """The unsigned code · 2^above, as i32."""
        total: Expr = None
        for plane in self.layout.planes:
            word = self._at(f"codes{plane.bits}", lead, row, tirx.floordiv(k, plane.per_word))
            element = tirx.floormod(k, plane.per_word)
            bit = (tirx.floormod(element, 4) * 8 + tirx.floordiv(element, 4) * plane.bits).astype("int32")
            to = plane.shift + above
            field = _shifted(word, bit, to) & i32(((1 << plane.bits) - 1) << to)
            total = field if total is None else total | field
        return total

    def code_above_one(self, lead: Sequence[Expr], row: Expr, k: Expr) -> Expr:
        """1 + code / 2^bits as f32."""
        return above_one(self.code(lead, row, k, MANTISSA_BITS - self.bits))

    def fours(self, lead: Sequence[Expr], row: Expr, index: Expr) -> Expr:
        """The unsigned codes `4 · index` to `4 · index + 3` of a row in the four bytes of an i32."""
        total: Expr = None
        for plane in self.layout.planes:
            quarters = plane.per_word // 4
            word = self._at(f"codes{plane.bits}", lead, row, tirx.floordiv(index, quarters))
            bit = (tirx.floormod(index, quarters) * plane.bits).astype("int32")
            field = ((word >> bit) & i32(((1 << plane.bits) - 1) * 0x01010101)) << i32(plane.shift)
            total = field if total is None else total | field
        return total

    def word(self, lead: Sequence[Expr], row: Expr, index: Expr, plane: Plane | None = None) -> Expr:
        """Word `index` of a row in `plane`, which need not be given where there is one."""
        bits = self.bits if plane is None else plane.bits
        return self._at(f"codes{bits}", lead, row, index)

    def float_word(self, lead: Sequence[Expr], row: Expr, index: Expr) -> Expr:
        """Word `index` of a row of bf16: two columns, the even one in the low half."""
        return self._at("words", lead, row, index)

    def integer(self, lead: Sequence[Expr], row: Expr, group: Expr) -> Expr:
        """The integer scale of a group as i32."""
        return self._at("integers", lead, row, group).astype("int32")

    def scale(self, lead: Sequence[Expr], row: Expr, group: Expr) -> Expr:
        """The float scale as f32: of a group, or of a row (group 0) where groups have integer ones."""
        return stored_float(self._at("scales", lead, row, group), self._pieces["scales"].dtype)

    def zero(self, lead: Sequence[Expr], row: Expr, group: Expr, dtype: str) -> Expr:
        """The unsigned code that stands for 0, as `dtype`."""
        if "zeros" not in self._pieces:
            return tirx.const(1 << (self.bits - 1), dtype)
        return self._at("zeros", lead, row, group).astype(dtype)

    def value(self, lead: Sequence[Expr], row: Expr, k: Expr, fast: bool = False) -> Expr:
        """The weight as f32; `fast` writes the code into the mantissa instead of converting it."""
        if self.layout.format is not None:
            group = tirx.floordiv(k, self.layout.group)
            scale, zero = self.scale(lead, row, group), self.zero(lead, row, group, "float32")
            if not fast:
                return scale * (self.code(lead, row, k).astype("float32") - zero)
            unit = f32(2.0**self.bits)
            return (scale * unit) * (self.code_above_one(lead, row, k) - (zero / unit + f32(1.0)))
        if self.layout.dtype is not DType.BF16:
            return stored_float(self._at("values", lead, row, k), self._pieces["values"].dtype)
        word = self._at("words", lead, row, tirx.floordiv(k, 2))
        # Little-endian pair: even k in the low half.
        half = tirx.Select(tirx.floormod(k, 2) == 0, word << i32(16), word & i32(-65536))
        return tirx.reinterpret("float32", half)

    def _at(self, name: str, lead: Sequence[Expr], row: Expr, column: Expr) -> Expr:
        block = self.layout.block
        return self._pieces[name](*lead, tirx.floordiv(row, block), column, tirx.floormod(row, block))


def code_in_word(word: Expr, quarter: Expr | None, byte: Expr, bits: int, above: int = 0) -> Expr:
    """The code of element `4 · quarter + byte` of a word, times 2^above; 8-bit codes have no quarters."""
    bit = byte.astype("int32") * 8
    if quarter is not None:
        bit = bit + quarter.astype("int32") * bits
    return _shifted(word, bit, above) & i32(((1 << bits) - 1) << above)


def above_one(code: Expr) -> Expr:
    """1 + code / 2^bits as f32, for a code that was placed in the top of the mantissa."""
    return tirx.reinterpret("float32", code | i32(_ONE_BITS))


def _shifted(word: Expr, bit: Expr, to: int) -> Expr:
    """`word` with `bit` moved to bit `to`; bits that are masked away afterwards may be anything."""
    if to == 0:
        return word >> bit
    left = i32(to) - bit
    return tirx.Select(left >= 0, word << tirx.max(left, i32(0)), word >> tirx.max(-left, i32(0)))
