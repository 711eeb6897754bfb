"""How a weight matrix lies in memory for the linear kernels: blocks of rows, k-major inside a block.

Rows are cut into blocks of `block` (64, or 32 or 16 for narrow matrices), the last one zero-padded. Inside a
block the k index is slow and the row fast, so that one vector load gives one (or several packed) k of 16
rows: a decode step reads the arrays from first to last byte.

Codes are stored unsigned (a symmetric code plus 2^(bits-1)) in 32-bit words per row. A word holds
`32 / plane bits` consecutive k; element e lies at bit `8·(e mod 4) + bits·(e div 4)`, so that one shift and
mask leaves four consecutive k in the four bytes of a word: the order of VNNI and NEON dot products. Widths
that are not a power of two are split into planes (5 = 4 + 1 bits), most significant first, each an array of
words.

Weights with integer group scales are stored as they are for kernels on int8 activations, and expanded to 8-bit
codes for others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

from cosyn.ir.dtype import DType
from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import WeightFormat

Activation = Literal["float", "bf16", "int8"]

WORD_BITS = 32
_BLOCKS = (64, 32, 16)
_SHORTEST_CHUNK, _LONGEST_CHUNK = 32, 128


@dataclass(frozen=True, slots=True)
class Piece:
    """One stored array: `dtype` is a numpy and TVM name (bf16 travels as uint16 or inside int32 words)."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plane:
    """Some bits of every code: `bits` of them, which count from bit `shift` of the code."""

    bits: int
    shift: int

    @property
    def per_word(self) -> int:
        """Consecutive k in one 32-bit word."""
        return WORD_BITS // self.bits

    def bit(self, element: int) -> int:
        """Bit of the word at which element 0 ≤ e < per_word starts."""
        return 8 * (element % 4) + self.bits * (element // 4)


def planes_of(bits: int) -> tuple[Plane, ...]:
    """Powers of two that add up to `bits`, most significant first."""
    planes, left = [], bits
    for width in (8, 4, 2, 1):
        if width <= left:
            left -= width
            planes.append(Plane(width, left))
    return tuple(planes)


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """Storage of a weight `[n, k]`, or `[experts, n, k]` where `experts` is not 0.

    `dtype` is the float type of an unquantized weight; with `format` the weight is stored as codes.
    `activation` is what the kernel multiplies with: f32 values, f32 values that are bf16 numbers, or int8 codes
    with one scale per row.
    """

    n: int
    k: int
    block: int
    dtype: DType
    format: WeightFormat | None = None
    activation: Activation = "float"
    experts: int = 0

    @property
    def blocks(self) -> int:
        """Number of row blocks."""
        return -(-self.n // self.block)

    @property
    def padded_n(self) -> int:
        """Rows that are stored."""
        return self.blocks * self.block

    @property
    def group(self) -> int:
        """Columns that share a scale (an integer one, where there are); k for an unquantized weight."""
        return self.format.group(self.k) if self.format else self.k

    @property
    def groups(self) -> int:
        """Scales per row (integer ones, where there are)."""
        return self.k // self.group

    @property
    def integer_scales(self) -> bool:
        """Whether groups have integer scales and rows a float scale."""
        return self.format is not None and self.format.integer_scales

    @property
    def expanded(self) -> PackedLayout:
        """The layout of the same matrix with integer scales multiplied into 8-bit codes."""
        return replace(self, format=self.format.expanded) if self.format else self

    @property
    def step(self) -> int:
        """Consecutive k that one word (of the widest plane) covers; 1 where words straddle groups."""
        if self.format is None:
            return 2 if self.dtype is DType.BF16 and self.k % 2 == 0 else 1
        step = min(p.per_word for p in self.planes)
        return step if self.group % step == 0 else 1

    @property
    def whole_words(self) -> bool:
        """Whether a scale group is whole words of every plane: what dot-product code asks for."""
        return bool(self.planes) and all(self.group % p.per_word == 0 for p in self.planes)

    @property
    def chunk(self) -> int:
        """Columns whose products are summed before they are scaled.

        A whole group, or a part of a long one: f32 sums of codes that are not centred lose digits over time.
        """
        if self.activation == "int8" or self.group <= _LONGEST_CHUNK:
            return self.group
        sizes = range(_SHORTEST_CHUNK, _LONGEST_CHUNK + 1)
        return max((c for c in sizes if self.group % c == 0 and c % self.step == 0), default=self.group)

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes of the codes; none for an unquantized weight."""
        return planes_of(self.format.bits) if self.format else ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The arrays that hold the weight, in the order in which kernels take them."""
        lead = ((self.experts,) if self.experts else ()) + (self.blocks,)
        if self.format is None:
            if self.dtype is DType.BF16:
                return (Piece("words", "int32", (*lead, -(-self.k // 2), self.block)),)
            return (Piece("values", self.dtype.numpy.name, (*lead, self.k, self.block)),)
        pieces = [Piece(f"codes{p.bits}", "int32", (*lead, -(-self.k // p.per_word), self.block)) for p in self.planes]
        scale = "uint16" if self.format.scale_dtype is DType.BF16 else self.format.scale_dtype.numpy.name
        if self.integer_scales:
            pieces.append(Piece("integers", "uint8", (*lead, self.groups, self.block)))
        pieces.append(Piece("scales", scale, (*lead, 1 if self.integer_scales else self.groups, self.block)))
        if not self.format.symmetric:
            pieces.append(Piece("zeros", "uint8", (*lead, self.groups, self.block)))
        return tuple(pieces)

    @property
    def nbytes(self) -> int:
        """Bytes of all pieces, padding included."""
        sizes = {"int32": 4, "float32": 4, "float16": 2, "uint16": 2, "uint8": 1}
        total = 0
        for piece in self.pieces:
            count = sizes[piece.dtype]
            for dim in piece.shape:
                count *= dim
            total += count
        return total


class LayoutError(ValueError):
    """A weight that has no packed layout; the message says what was expected and found."""


def layout_for(
    weight: TensorType, activation: Activation = "float", target_features: Collection[str] = ()
) -> PackedLayout:
    """The layout of a weight of that type for kernels that take `activation`.

    One layout serves every instruction set so far, so `target_features` changes nothing yet. Raises
    LayoutError for a type that is not `[n, k]` or `[experts, n, k]` of f32, f16 or bf16, and for int8
    activations without a format. Sparse formats are laid out with every column.
    """
    del target_features
    if weight.rank not in (2, 3) or not all(isinstance(d, int) and d > 0 for d in weight.shape):
        raise LayoutError(f"a packed weight has a static shape [n, k] or [experts, n, k], found {weight}")
    if weight.format is None and weight.dtype not in (DType.F32, DType.F16, DType.BF16):
        raise LayoutError(f"an unquantized weight is f32, f16 or bf16, found {weight}")
    if weight.format is not None and weight.format.scale_dtype is DType.F64:
        raise LayoutError(f"scales are f32, f16 or bf16, found {weight}")
    if activation == "int8" and weight.format is None:
        raise LayoutError(f"int8 activations need a quantized weight, found {weight}")
    *lead, n, k = (int(d) for d in weight.shape)
    # The widest block that pads no more rows than narrower ones do.
    block = min(_BLOCKS, key=lambda b: (-(-n // b) * b, -b))
    stored = _stored(weight.format, k, activation) if weight.format else None
    return PackedLayout(n, k, block, weight.dtype, stored, activation, lead[0] if lead else 0)


def _stored(fmt: WeightFormat, k: int, activation: Activation) -> WeightFormat:
    """How the codes of a declared format are stored: groups cut so that they divide k and are whole words."""
    if not fmt.integer_scales or activation == "float":
        return fmt.expanded
    group = gcd(fmt.group(k), k)
    if any(group % p.per_word for p in planes_of(fmt.bits)):
        return fmt.expanded
    return replace(fmt, group_size=group, kept=0)
