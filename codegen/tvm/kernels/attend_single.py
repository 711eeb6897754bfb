"""Attention of one token: the query heads of one KV head, elements of a head in vector lanes.

Decode reads every key and value once and uses it for few rows, too few to fill a vector with rows as
`attend_tile.py` does. Here a row of the cache is converted once and multiplied with each query head.
"""

from __future__ import annotations

import math

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend import LOWEST, blocks, for_ranges, within_block
from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Buffer, Expr, f32, i64
from cosyn.codegen.tvm.kernels.attend_math import exp_nonpositive, tanh
from cosyn.codegen.tvm.kernels.attend_part import Part
from cosyn.codegen.tvm.kernels.attend_vector import (
    HIDDEN,
    fold,
    load,
    local,
    prefetch,
    splat,
    store,
    transposed_sums,
    vector,
)

CHUNK = 64
"""Positions scored before the running maximum is updated."""

_L1_SHARE = 16384
"""Bytes of the first cache that a chunk of keys and values may take ahead of its use: half of the usual size."""


class SingleToken:
    """Emits attention for single tokens.

    Holds the scratch buffers: scaled q [group, head_dim], products [group, lanes, lanes] whose rows sum to
    scores, scores [group, CHUNK], result [group, v_dim].
    """

    def __init__(self, args: AttendArgs, kv_head: Expr, lanes: int) -> None:
        state, group = args.cache.state, args.group
        self.args, self.kv_head, self.lanes = args, kv_head, lanes
        self.k_lanes, self.v_lanes = math.gcd(state.head_dim, lanes), math.gcd(state.v_dim, lanes)
        # Accumulators take half of the vector registers: 32 of 512 bits, else 16.
        self.registers = 16 if lanes >= 16 else 8
        self.q = local((group, state.head_dim))
        self.products = local((group, self.k_lanes, self.k_lanes))
        self.folded = local((lanes,))
        self.tree = local((max(1, self.k_lanes // 2) * self.k_lanes,))
        self.scores = local((group, CHUNK))
        self.scales = local((CHUNK,))
        self.result = local((group, state.v_dim))
        self.top, self.shrink = local((group,)), local((group,))
        self.total = local((group, lanes))
        self.sees = local((group,), "int32")
        self.any = local((1,), "int32")
        self.sums = local((self.registers * self.v_lanes,))

    def attend(self, token: Expr, part: Part | None = None) -> None:
        """Emit the attention of `token` over the visible positions of its slot.

        With a `part`, only over those that it covers, into its buffers.
        """
        args, attrs = self.args, self.args.attrs
        slot = T.bind(args.slots[token].astype("int64"))
        position = T.bind(args.positions[token].astype("int64"))
        self._begin(token)

        def over(begin: Expr, end: Expr, _window: Expr | None) -> None:
            if part is not None:
                begin, end = part.within(begin, end)
            if args.mask is None:
                self._pieces(slot, position, begin, end)
                return
            row = tirx.truncdiv(position, i64(attrs.mask_block))
            with T.serial(*blocks(attrs.mask_block, begin, end)) as block:
                self._mask_heads(args.mask, row, block)
                with T.If(self.any[0] != 0), T.Then():
                    self._pieces(slot, position, *within_block(attrs.mask_block, block, begin, end))

        for_ranges(attrs, position, position, over)
        if part is None:
            self._finish(token)
        else:
            self._keep(part)

    def _begin(self, token: Expr) -> None:
        args, state = self.args, self.args.cache.state
        with T.serial(i64(0), i64(args.group)) as g:
            T.buffer_store(self.top, f32(LOWEST), [g])
            store(self.total, splat(f32(0), self.lanes), g, 0)
        with T.grid(i64(args.group), i64(state.head_dim // self.k_lanes)) as (g, i):
            q = load(args.q, self.k_lanes, token, self.kv_head * i64(args.group) + g, i * self.k_lanes)
            store(self.q, q * splat(f32(args.attrs.scale), self.k_lanes), g, i * self.k_lanes)
        with T.grid(i64(args.group), i64(state.v_dim // self.v_lanes)) as (g, i):
            store(self.result, splat(f32(0), self.v_lanes), g, i * self.v_lanes)

    def _mask_heads(self, mask: Buffer, row: Expr, block: Expr) -> None:
        """Emit which heads see `block`, and whether any does."""
        T.buffer_store(self.any, tirx.const(0, "int32"), [0])
        with T.serial(i64(0), i64(self.args.group)) as g:
            bit = T.bind(mask[self.kv_head * i64(self.args.group) + g, row, block].astype("int32"))
            T.buffer_store(self.sees, bit, [g])
            T.buffer_store(self.any, tirx.bitwise_or(self.any[0], bit), [0])

    def _pieces(self, slot: Expr, position: Expr, begin: Expr, end: Expr) -> None:
        """Emit the chunks of positions `begin` … `end`, in pieces that are contiguous in memory."""
        cache = self.args.cache
        if not cache.state.window:
            self._chunks(slot, position, begin, begin, tirx.max(end - begin, i64(0)))
            return
        index = T.bind(cache.index(begin))
        total = T.bind(tirx.max(end - begin, i64(0)))
        straight = T.bind(tirx.min(total, cache.capacity - index))
        with T.serial(i64(0), i64(2)) as piece:
            turned = piece > 0
            start = T.bind(begin + tirx.Select(turned, straight, i64(0)))
            base = T.bind(tirx.Select(turned, i64(cache.state.sinks), index))
            self._chunks(slot, position, start, base, T.bind(tirx.Select(turned, total - straight, straight)))

    def _chunks(self, slot: Expr, position: Expr, begin: Expr, base: Expr, length: Expr) -> None:
        """Emit the online softmax over `length` positions from `begin`, cached from `base` on."""
        cache, chunks = self.args.cache, tirx.truncdiv(length + i64(CHUNK - 1), i64(CHUNK))
        with T.serial(i64(0), chunks) as chunk:
            done = T.bind(chunk * i64(CHUNK))
            count = T.bind(tirx.min(i64(CHUNK), length - done))
            at = (slot, self.kv_head, T.bind(base + done))
            self._copy_scales(cache.k_scales, at, count)
            self._score(at, begin + done - position, count)
            if self.args.attrs.mask_block:
                self._hide(count)
            else:
                with T.If(count < i64(CHUNK)), T.Then():
                    self._hide(count)
            self._copy_scales(cache.v_scales, at, count)
            share = -(-CHUNK // self.args.group)
            with T.serial(i64(0), i64(self.args.group)) as g:
                # Not past the end: looking for a page that is not there takes as long as loading many that are.
                with T.If(chunk + 1 < chunks), T.Then(), T.serial(i64(0), i64(share)) as j:
                    row = T.bind(tirx.min(done + CHUNK + g * share + j, length - 1))
                    self._fetch(cache.k, cache.state.head_dim, *at[:2], base + row)
                self._weigh(g)
            self._accumulate(at, count)

    def _fetch(self, source: Buffer, width: int, *row: Expr) -> None:
        """Emit the prefetch of a row, where that pays: many heads, so that there is time, and room in the L1 cache."""
        state = self.args.cache.state
        chunk_bytes = CHUNK * (state.head_dim + state.v_dim) * state.dtype.bits // 8
        if self.args.group > 1 and chunk_bytes <= _L1_SHARE:
            prefetch(source, width, *row, 0)

    def _copy_scales(self, source: Buffer | None, at: tuple[Expr, Expr, Expr], count: Expr) -> None:
        """Emit the chunk's scales into scratch, where vectors may run past its end."""
        if source is None:
            return
        slot, head, index = at
        with T.serial(i64(0), count) as j:
            T.buffer_store(self.scales, source[slot, head, index + j], [j])

    def _score(self, at: tuple[Expr, Expr, Expr], away: Expr, count: Expr) -> None:
        """Emit scores[g, j] = q[g] · k[j], after softcap and ALiBi; `away`: first position - own."""
        args, lanes = self.args, self.k_lanes
        slot, head, index = at
        spots = range(0, args.cache.state.head_dim, lanes)
        with T.serial(i64(0), tirx.truncdiv(count + i64(lanes - 1), i64(lanes))) as part:
            first = T.bind(part * i64(lanes))
            # The values arrive while the keys are scored. Not inside the loops: LLVM would keep no sums in registers.
            with T.serial(i64(0), i64(lanes)) as j:
                row = T.bind(index + tirx.min(first + j, count - 1))
                self._fetch(args.cache.v, args.cache.state.v_dim, slot, head, row)
            with T.serial(i64(0), i64(lanes)) as j:
                # Past the end of the chunk the last row again; its score is hidden later.
                row = T.bind(index + tirx.min(first + j, count - 1))
                key = [
                    T.bind(load(args.cache.k, lanes, slot, head, row, i).astype(vector("float32", lanes)))
                    for i in spots
                ]
                with T.serial(i64(0), i64(args.group)) as g:
                    product = key[0] * load(self.q, lanes, g, 0)
                    for i, x in zip(spots[1:], key[1:], strict=True):
                        product = product + x * load(self.q, lanes, g, i)
                    store(self.products, product, g, j, 0)
            with T.serial(i64(0), i64(args.group)) as g:
                s = transposed_sums([load(self.products, lanes, g, j, 0) for j in range(lanes)], self.tree)
                if args.cache.k_scales is not None:
                    s = s * load(self.scales, lanes, first)
                store(self.scores, self._shape_score(T.bind(s), g, away + first), g, first)

    def _shape_score(self, score: Expr, g: Expr, away: Expr) -> Expr:
        """The score vector with softcap and ALiBi applied."""
        attrs, lanes = self.args.attrs, self.k_lanes
        if attrs.softcap is not None:
            score = tanh(T.bind(score * splat(f32(1 / attrs.softcap), lanes)), lanes) * splat(f32(attrs.softcap), lanes)
        if self.args.slopes is not None:
            slope = T.bind(self.args.slopes[self.kv_head * i64(self.args.group) + g])
            away = away.astype("int32")
            distance = tirx.Ramp(away, tirx.const(1, "int32"), lanes) if lanes > 1 else away
            score = score + splat(slope, lanes) * distance.astype(vector("float32", lanes))
        return score

    def _hide(self, count: Expr) -> None:
        """Emit HIDDEN over the scores past the end of the chunk, and of heads that do not see the block."""
        lanes, zero = self.lanes, tirx.const(0, "int32")
        hidden = splat(f32(HIDDEN), lanes)
        with T.serial(i64(0), i64(CHUNK // lanes)) as part:
            first = T.bind((part * i64(lanes)).astype("int32"))
            index = tirx.Ramp(first, tirx.const(1, "int32"), lanes) if lanes > 1 else first
            # TVM cannot bind a vector of booleans to a name.
            inside = index < splat(count.astype("int32"), lanes)
            with T.serial(i64(0), i64(self.args.group)) as g:
                score = tirx.Select(inside, load(self.scores, lanes, g, part * i64(lanes)), hidden)
                if self.args.attrs.mask_block:
                    score = tirx.Select(splat(self.sees[g], lanes) != splat(zero, lanes), score, hidden)
                store(self.scores, score, g, part * i64(lanes))

    def _weigh(self, g: Expr) -> None:
        """Emit scores → weights e^(score - maximum), times the scales of the value rows."""
        lanes = self.lanes
        spots = range(0, CHUNK, lanes)
        scores = [T.bind(load(self.scores, lanes, g, j)) for j in spots]
        widest = scores[0]
        for s in scores[1:]:
            widest = T.bind(tirx.max(widest, s))
        before = T.bind(self.top[g])
        top = T.bind(tirx.max(before, fold(widest, lanes, tirx.max, self.folded)))
        shrink = exp_nonpositive(before - top, 1)
        T.buffer_store(self.top, top, [g])
        T.buffer_store(self.shrink, shrink, [g])
        total = T.bind(load(self.total, lanes, g, 0) * splat(shrink, lanes))
        for j, s in zip(spots, scores, strict=True):
            weight = exp_nonpositive(s - splat(top, lanes), lanes)
            total = T.bind(total + weight)
            if self.args.cache.v_scales is not None:
                weight = weight * load(self.scales, lanes, j)
            store(self.scores, weight, g, j)
        store(self.total, total, g, 0)

    def _accumulate(self, at: tuple[Expr, Expr, Expr], count: Expr) -> None:
        """Emit result[g] = result[g] · shrink[g] + Σ weights[g, j] · v[j], some accumulators at a time."""
        lanes = self.v_lanes
        parts = self.args.cache.state.v_dim // lanes
        wide = max(n for n in range(1, self.registers + 1) if parts % n == 0)
        heads = min(max(1, self.registers // wide), self.args.group)
        with T.serial(i64(0), i64(parts // wide)) as part:
            offset = T.bind(part * i64(wide * lanes))
            with T.serial(i64(0), i64(self.args.group // heads)) as block:
                self._accumulate_block(at, count, T.bind(block * i64(heads)), heads, offset, wide)
            if rest := self.args.group % heads:
                self._accumulate_block(at, count, i64(self.args.group - rest), rest, offset, wide)

    def _accumulate_block(
        self, at: tuple[Expr, Expr, Expr], count: Expr, first: Expr, heads: int, offset: Expr, wide: int
    ) -> None:
        """Emit `_accumulate` for `heads` heads from `first` and `wide` vectors from element `offset`."""
        lanes, (slot, head, index) = self.v_lanes, at
        spots = [(n * lanes, first + n // wide, n % wide) for n in range(heads * wide)]
        for spot, g, c in spots:
            kept = load(self.result, lanes, g, offset + c * lanes) * splat(self.shrink[g], lanes)
            store(self.sums, kept, spot)
        with T.serial(i64(0), count) as j:
            row = (slot, head, T.bind(index + j))
            values = [load(self.args.cache.v, lanes, *row, offset + c * lanes) for c in range(wide)]
            values = [T.bind(v.astype(vector("float32", lanes))) for v in values]
            for spot, g, c in spots:
                store(
                    self.sums,
                    load(self.sums, lanes, spot) + splat(self.scores[g, j], lanes) * values[c],
                    spot,
                )
        for spot, g, c in spots:
            store(self.result, load(self.sums, lanes, spot), g, offset + c * lanes)

    def _total(self, g: Expr) -> Expr:
        return fold(load(self.total, self.lanes, g, 0), self.lanes, lambda a, b: a + b, self.folded)

    def _keep(self, part: Part) -> None:
        """Emit the maxima, totals and results of a part."""
        args, lanes = self.args, self.v_lanes
        with T.serial(i64(0), i64(args.group)) as g:
            head = T.bind(self.kv_head * i64(args.group) + g)
            part.keep(head, self.top[g], self._total(g))
            with T.serial(i64(0), i64(args.cache.state.v_dim // lanes)) as i:
                store(part.results, load(self.result, lanes, g, i * lanes), head, part.index, i * lanes)

    def _finish(self, token: Expr) -> None:
        """Emit out = result / total; zeros for a head that saw nothing."""
        args, lanes = self.args, self.v_lanes
        with T.serial(i64(0), i64(args.group)) as g:
            total = self._total(g)
            inverse = T.bind(tirx.Select(total > 0, f32(1) / tirx.Select(total > 0, total, f32(1)), f32(0)))
            with T.serial(i64(0), i64(args.cache.state.v_dim // lanes)) as i:
                value = load(self.result, lanes, g, i * lanes) * splat(inverse, lanes)
                store(args.out, value, token, self.kv_head * i64(args.group) + g, i * lanes)
