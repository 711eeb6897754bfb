"""Attention of one token cut along the sequence: parts for idle threads, merged by their maxima and totals.

As in Flash-Decoding (Dao et al. 2023): a part is an online softmax over some of the positions, and softmax over
all of them is the sum of the parts' results, each scaled by e^(its maximum - the largest).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Buffer, Expr, f32, i64
from cosyn.codegen.tvm.kernels.attend_math import exp_nonpositive
from cosyn.codegen.tvm.kernels.attend_vector import load, splat, store

LEAST = 128
"""Positions that a part has at least, but for the last: fewer take less time than the merge."""


@dataclass(frozen=True)
class PartBuffers:
    """Scratch memory of all parts: maxima and totals [n_heads, parts], results [n_heads, parts, v_dim]."""

    tops: Buffer
    totals: Buffer
    results: Buffer

    @staticmethod
    def allocate(args: AttendArgs, parts: int) -> PartBuffers:
        """Declare the memory; emits into the function being built, outside of any block."""
        heads = (i64(args.n_heads), i64(parts))
        width = i64(args.cache.state.v_dim)
        tops, totals = (T.sblock_alloc_buffer(heads, "float32") for _ in range(2))
        return PartBuffers(tops, totals, T.sblock_alloc_buffer((*heads, width), "float32"))


@dataclass(frozen=True)
class Part:
    """Part number `index`: positions `low` … `high`."""

    buffers: PartBuffers
    index: Expr
    low: Expr
    high: Expr

    @property
    def results(self) -> Buffer:
        return self.buffers.results

    def within(self, begin: Expr, end: Expr) -> tuple[Expr, Expr]:
        """The positions of `begin` … `end` that lie in the part. Emits statements."""
        return T.bind(tirx.max(begin, self.low)), T.bind(tirx.min(end, self.high))

    def keep(self, head: Expr, top: Expr, total: Expr) -> None:
        """Emit the store of a head's maximum and total."""
        T.buffer_store(self.buffers.tops, top, [head, self.index])
        T.buffer_store(self.buffers.totals, total, [head, self.index])


def part_of(args: AttendArgs, buffers: PartBuffers, parts: int, index: Expr) -> Part:
    """Part `index` of the positions that token 0 sees: equal parts of at least LEAST. Emits statements.

    Sinks belong to the first part; where a window hides older positions, the parts divide the window.
    """
    window = args.attrs.window
    end = T.bind(args.positions[0].astype("int64") + 1)
    oldest = i64(0) if window is None else T.bind(tirx.max(end - i64(window), i64(0)))
    share = tirx.truncdiv(end - oldest + i64(parts * LEAST - 1), i64(parts * LEAST)) * i64(LEAST)
    share = T.bind(share)
    low = T.bind(tirx.Select(index == 0, i64(0), oldest + index * share))
    high = T.bind(tirx.min(oldest + (index + 1) * share, end))
    return Part(buffers, index, low, high)


def merge(args: AttendArgs, buffers: PartBuffers, parts: int, head: Expr, lanes: int) -> None:
    """Emit out[0, head] from the parts of a head; zeros where no part saw anything."""
    width = args.cache.state.v_dim
    lanes = math.gcd(width, lanes)
    top = buffers.tops[head, 0]
    for p in range(1, parts):
        top = T.bind(tirx.max(top, buffers.tops[head, p]))
    weights = [exp_nonpositive(buffers.tops[head, p] - top, 1) for p in range(parts)]
    total = buffers.totals[head, 0] * weights[0]
    for p in range(1, parts):
        total = total + buffers.totals[head, p] * weights[p]
    total = T.bind(total)
    inverse = T.bind(tirx.Select(total > 0, f32(1) / tirx.Select(total > 0, total, f32(1)), f32(0)))
    shares = [T.bind(w * inverse) for w in weights]
    with T.serial(i64(0), i64(width // lanes)) as i:
        value = load(buffers.results, lanes, head, 0, i * lanes) * splat(shares[0], lanes)
        for p in range(1, parts):
            value = value + load(buffers.results, lanes, head, p, i * lanes) * splat(shares[p], lanes)
        store(args.out, value, 0, head, i * lanes)
