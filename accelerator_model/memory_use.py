"""What memories take of an UltraScale+ device, by width and depth.

The RTL has four kinds: `cosyn_ram_1r1w` and `cosyn_fifo_ram` in block memory or UltraRAM, `cosyn_fifo` and delays in
look-up tables. How they map is measured (`rtl_testbench/synthesis`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

RESOURCES = ("dsp", "lut", "ff", "bram36", "uram")


@dataclass(frozen=True, slots=True)
class Use:
    """Resources of one block; a half of a block RAM counts 0.5."""

    dsp: float = 0.0
    lut: float = 0.0
    ff: float = 0.0
    bram36: float = 0.0
    uram: float = 0.0

    def __add__(self, other: Use) -> Use:
        return Use(
            self.dsp + other.dsp,
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram36 + other.bram36,
            self.uram + other.uram,
        )

    def times(self, count: float) -> Use:
        """`count` of it."""
        return Use(self.dsp * count, self.lut * count, self.ff * count, self.bram36 * count, self.uram * count)


def address_bits(depth: int) -> int:
    """Bits that number `depth` entries, at least one."""
    return max(1, (depth - 1).bit_length())


def multiplexer(inputs: int) -> int:
    """Look-up tables for a bit of a multiplexer: one takes four inputs, and each further one three more."""
    return -(-(inputs - 1) // 3)


def gates(inputs: int) -> int:
    """Look-up tables of six inputs for a function of `inputs`, as a tree."""
    return -(-(inputs - 1) // 5)


_SHAPES = ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))
"""Width and depth of a RAMB36 with one write and one read port; a RAMB18 is half as wide at 512, or half as deep."""

_HALF_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))


def block_rams(width: int, depth: int, part: int = 0) -> float:
    """RAMB36 of a memory with one write and one read port; `part` bits have a write enable of their own (0: all)."""
    return _block_rams(width, depth, part)[0]


@cache
def _block_rams(width: int, depth: int, part: int) -> tuple[float, int]:
    """The cheapest way: RAMB36, and how many of them are behind each other."""
    found = [(float(count), rows) for count, rows in _columns(width, depth, part, _SHAPES)]
    if not part or part == width:
        found += [(count / 2, rows) for count, rows in _columns(width, depth, part, _HALF_SHAPES)]
    return min(found)


def _columns(width: int, depth: int, part: int, shapes: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
    """Memories and rows of them with each shape for all columns but the last, which takes the narrowest that it can."""
    for index, (wide, deep) in enumerate(shapes):
        rows = -(-depth // deep)
        if part and part != width:
            # Nine bits, or what is there of them, have a write enable.
            enables = width // part * -(-part // min(wide, 9))
            yield -(-enables // max(1, wide // 9)) * rows, rows
        else:
            rest = width % wide
            last = min(-(-depth // d) for w, d in shapes[index:] if w >= rest) if rest else 0
            yield width // wide * rows + last, rows


_ULTRA = 4096
"""Depth of an UltraRAM; it is 72 bits wide."""


def ultra_rams(width: int, depth: int, part: int = 0) -> int:
    """URAM288 of a memory with one write and one read port; `part` bits have a write enable of their own (0: all).

    Nine bits of a word can be written alone, so a last column that is narrow holds several rows side by side.
    """
    rows = -(-depth // _ULTRA)
    if part and part != width:
        return -(-(width // part * -(-part // 9)) // 8) * rows
    columns, rest = divmod(width, 72)
    last = -(-rows // (8 // -(-rest // 9))) if rest else 0
    return columns * rows + last


def ram(width: int, depth: int, *, ultra: bool, part: int = 0) -> Use:
    """A `cosyn_ram_1r1w`; its output stage are registers of its own.

    Memories behind each other are chosen between by the high address bits, which wait a cycle.
    """
    blocks, rows = (0.0, -(-depth // _ULTRA)) if ultra else _block_rams(width, depth, part)
    choice = address_bits(rows) if rows > 1 else 0
    lut = width * multiplexer(rows) + 3 * rows if rows > 1 else 0
    return Use(lut=lut, ff=width + choice, bram36=blocks, uram=ultra_rams(width, depth, part) if ultra else 0)


@cache
def fifo_ram(width: int, depth: int) -> Use:
    """A `cosyn_fifo_ram`: block memory, two pointers, a counter and the head's flag.

    Pointers that do not wrap by themselves are compared with the last entry.
    """
    pointer, count = address_bits(depth), (depth + 1).bit_length()
    wrap = 0 if depth & (depth - 1) == 0 else pointer
    return Use(lut=2 * pointer + count + wrap, ff=2 * pointer + count + 1, bram36=block_rams(width, depth))


def lutram(width: int, depth: int, *, ports: int = 2) -> int:
    """Look-up tables of a distributed memory with one write port; `ports` 1 if it is read where it is written.

    Eight look-up tables hold 32 x 14 bits (RAM32M16; 16 bits with one address) or 64 x 7 (RAM64M8).
    """
    if depth <= 32:
        return 8 * -(-width // (14 if ports == 2 else 16))
    return 8 * -(-width // 7) * -(-depth // 64) + width * multiplexer(-(-depth // 64))


_REGISTERS = 64
"""A queue of at most so many bits is made of flip-flops."""


@cache
def fifo(width: int, depth: int) -> Use:
    """A `cosyn_fifo`: distributed memory, two pointers of which synthesis doubles one, and a counter."""
    pointer, count = address_bits(depth), depth.bit_length()
    control = Use(lut=3 * pointer + count, ff=3 * pointer + count)
    if width * depth <= _REGISTERS:
        return control + Use(lut=width, ff=width * depth)
    return control + Use(lut=lutram(width, depth))


def delay(width: int, cycles: int) -> Use:
    """A `cosyn_delay` or `cosyn_delay_line`: distributed memory with one address, and an output register."""
    pointer = address_bits(cycles - 1)
    return Use(lut=lutram(width, cycles - 1, ports=1) + pointer, ff=width + pointer)
