"""Which core computes which attention heads, and in which order a head's elements lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosyn.codegen.fpga.layout import Columns, padded, round_up
from cosyn.ir.ops.attention import RopeAttrs


@dataclass(frozen=True, slots=True)
class HeadGroup:
    """A key and value head on a core, and the query heads there that share it."""

    kv_head: int
    q_heads: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CoreHeads:
    """The heads of one core; `groups` may be empty."""

    groups: tuple[HeadGroup, ...]

    @property
    def q_heads(self) -> tuple[int, ...]:
        return tuple(h for g in self.groups for h in g.q_heads)

    @property
    def kv_heads(self) -> tuple[int, ...]:
        return tuple(g.kv_head for g in self.groups)


def assign_heads(heads: int, kv_heads: int, cores: int) -> tuple[CoreHeads, ...]:
    """Heads in order over the cores, as even as possible.

    Whole groups where there are at least as many key and value heads as cores; otherwise query heads are dealt out
    and their key and value head is kept on each core that needs it.
    """
    group = heads // kv_heads
    units, size = (kv_heads, group) if kv_heads >= cores else (heads, 1)
    found = []
    for core in range(cores):
        # Rounded up, so that core 0, which the others wait for least, has the larger share.
        first, last = -(-core * units // cores) * size, -(-(core + 1) * units // cores) * size
        mine = range(first, last)
        groups = []
        for kv in range(kv_heads):
            queries = tuple(h for h in range(kv * group, (kv + 1) * group) if h in mine)
            if queries:
                groups.append(HeadGroup(kv, queries))
        found.append(CoreHeads(tuple(groups)))
    return tuple(found)


@dataclass(frozen=True)
class HeadOrder:
    """The places of a head of `size` elements: first halves of the pairs that turn, second halves, the rest."""

    size: int
    half: int
    """Pairs that turn; 0: none."""
    slots: Columns
    """Element of the head at each place, in whole lines."""
    high: int
    """Place of the second halves."""
    half_places: int
    """Places of each half, in whole lines."""

    @property
    def width(self) -> int:
        return len(self.slots)

    @property
    def is_natural(self) -> bool:
        return bool(np.array_equal(self.slots[: self.size], np.arange(self.size)))


def head_order(size: int, rope: RopeAttrs | None, lanes: int) -> HeadOrder:
    """The places of a query or key head: halves start on lines of their own."""
    if rope is None:
        return HeadOrder(size, 0, padded(np.arange(size), lanes), 0, 0)
    half = rope.rotary_dim // 2
    turned = np.arange(2 * half)
    low, high = (turned[0::2], turned[1::2]) if rope.interleaved else (turned[:half], turned[half:])
    parts = [padded(low, lanes), padded(high, lanes), padded(np.arange(2 * half, size), lanes)]
    width = round_up(half, lanes)
    return HeadOrder(size, half, np.concatenate(parts), width, width)
