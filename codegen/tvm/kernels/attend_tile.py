"""Attention of a tile of rows, one row per vector lane."""

from __future__ import annotations

import math

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend import LOWEST, blocks, for_ranges, within_block
from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Buffer, Expr, f32, i64
from cosyn.codegen.tvm.kernels.attend_math import exp_nonpositive, tanh
from cosyn.codegen.tvm.kernels.attend_part import Part
from cosyn.codegen.tvm.kernels.attend_vector import HIDDEN, load, local, splat, store, vector

CHUNK = 16
"""Positions scored before the running maximum is updated."""


class RowTile:
    """Emits attention for runs of up to `tokens` tokens, rows (token, query head of the group) in lanes.

    Holds the scratch buffers: q transposed [head_dim, rows], scores [CHUNK, rows], result [v_dim, rows], and
    chunks of keys and values converted to f32, of which each element multiplies a vector of rows.
    """

    def __init__(self, args: AttendArgs, kv_head: Expr, tokens: int, lanes: int) -> None:
        state = args.cache.state
        self.args, self.kv_head, self.lanes = args, kv_head, lanes
        self.vectors = -(-tokens * args.group // lanes)
        self.rows = self.vectors * lanes
        # Accumulators, operands and one spare must fit 16 registers.
        self.block = {1: 8, 2: 4, 3: 4}.get(self.vectors, 2)
        self.q = local((state.head_dim, self.rows))
        self.scores = local((CHUNK, self.rows))
        self.result = local((state.v_dim, self.rows))
        self.keys = local((CHUNK, state.head_dim))
        self.values = local((CHUNK, state.v_dim))
        self.top, self.total, self.slopes = local((self.rows,)), local((self.rows,)), local((self.rows,))
        self.last = local((self.rows,), "int32")
        self.sees = local((self.rows,), "int32")
        self.any = local((1,), "int32")
        self.sums = local((self.block * self.rows,))

    @property
    def _vectors(self) -> range:
        """First row of each vector of rows."""
        return range(0, self.rows, self.lanes)

    def attend(self, first: Expr, count: Expr, part: Part | None = None) -> None:
        """Emit the attention of tokens `first` … `first + count - 1`: one slot, consecutive positions.

        With a `part`, of a single token, only what that covers, into its buffers.
        """
        args, attrs = self.args, self.args.attrs
        slot = T.bind(args.slots[first].astype("int64"))
        low = T.bind(args.positions[first].astype("int64"))
        high = T.bind(low + count - 1)
        self._begin(first, count)

        def over(begin: Expr, end: Expr, window: Expr | None) -> None:
            if part is not None:
                begin, end = part.within(begin, end)
            if args.mask is None:
                self._chunks(slot, low, high, begin, end, window)
                return
            with T.serial(*blocks(attrs.mask_block, begin, end)) as block:
                self._mask_rows(args.mask, count, low, block)
                with T.If(self.any[0] != 0), T.Then():
                    inside = within_block(attrs.mask_block, block, begin, end)
                    self._chunks(slot, low, high, *inside, window)

        for_ranges(attrs, low, high, over)
        if part is None:
            self._finish(first, count)
        else:
            with T.serial(i64(0), i64(args.group)) as g:
                head = T.bind(self.kv_head * i64(args.group) + g)
                part.keep(head, self.top[g], self.total[g])
                with T.serial(i64(0), i64(args.cache.state.v_dim)) as i:
                    T.buffer_store(part.results, self.result[i, g], [head, part.index, i])

    def _begin(self, first: Expr, count: Expr) -> None:
        args, group = self.args, self.args.group
        lanes, width = self.lanes, args.cache.state.head_dim
        zero = splat(f32(0), lanes)
        for v in self._vectors:
            store(self.top, splat(f32(LOWEST), lanes), v)
            store(self.total, zero, v)
            store(self.last, splat(tirx.const(-1, "int32"), lanes), v)
            if args.slopes is not None:
                store(self.slopes, zero, v)
            with T.serial(i64(0), i64(args.cache.state.v_dim)) as i:
                store(self.result, zero, i, v)
            # Lanes without a row score 0 everywhere; nobody reads their result.
            with T.serial(i64(0), i64(width)) as i:
                store(self.q, zero, i, v)
        with T.grid(count, i64(group)) as (t, g):
            row, head = T.bind(t * i64(group) + g), T.bind(self.kv_head * i64(group) + g)
            T.buffer_store(self.last, args.positions[first + t], [row])
            if args.slopes is not None:
                T.buffer_store(self.slopes, args.slopes[head], [row])
            with T.serial(i64(0), i64(width)) as i:
                T.buffer_store(self.q, args.q[first + t, head, i] * f32(args.attrs.scale), [i, row])

    def _mask_rows(self, mask: Buffer, count: Expr, low: Expr, block: Expr) -> None:
        """Emit which rows see `block`, and whether any does."""
        group, size = self.args.group, i64(self.args.attrs.mask_block)
        T.buffer_store(self.any, tirx.const(0, "int32"), [0])
        for v in range(0, self.rows, self.lanes):
            store(self.sees, splat(tirx.const(0, "int32"), self.lanes), v)
        with T.grid(count, i64(group)) as (t, g):
            head = self.kv_head * i64(group) + g
            bit = T.bind(mask[head, tirx.truncdiv(low + t, size), block].astype("int32"))
            T.buffer_store(self.sees, bit, [t * i64(group) + g])
            T.buffer_store(self.any, tirx.bitwise_or(self.any[0], bit), [0])

    def _chunks(self, slot: Expr, low: Expr, high: Expr, begin: Expr, end: Expr, window: Expr | None) -> None:
        """Emit the online softmax over positions `begin` … `end`, CHUNK at a time."""
        attrs, cache = self.args.attrs, self.args.cache
        chunks = tirx.truncdiv(tirx.max(end - begin, i64(0)) + i64(CHUNK - 1), i64(CHUNK))
        with T.serial(i64(0), chunks) as chunk:
            start = T.bind(begin + chunk * i64(CHUNK))
            count = T.bind(tirx.min(i64(CHUNK), end - start))
            base = T.bind(cache.index(start))
            self._convert(cache.k, cache.k_scales, self.keys, slot, base, count)
            self._score(start)
            whole = tirx.all(count == i64(CHUNK), start + i64(CHUNK - 1) <= low)
            if window is not None:
                whole = tirx.all(whole, start > high - window)
            if attrs.mask_block:
                self._hide(start, end, window)
            else:
                with T.If(tirx.Not(whole)), T.Then():
                    self._hide(start, end, window)
            shrink = self._weigh()
            self._convert(cache.v, cache.v_scales, self.values, slot, base, count)
            self._accumulate(shrink)

    def _convert(
        self, source: Buffer, scales: Buffer | None, target: Buffer, slot: Expr, base: Expr, count: Expr
    ) -> None:
        """Emit the chunk's rows as f32; past its end the last row again, whose weight is 0."""
        cache, width = self.args.cache, int(target.shape[1])
        lanes = math.gcd(width, 16)
        with T.serial(i64(0), i64(CHUNK)) as j:
            index = T.bind(base + tirx.min(j, count - 1))
            if cache.state.window:
                # A chunk that starts among the sinks ends there: it never reaches the end of the ring.
                turn = cache.capacity - i64(cache.state.sinks)
                index = T.bind(tirx.Select(index >= cache.capacity, index - turn, index))
            scale = None if scales is None else T.bind(scales[slot, self.kv_head, index])
            for i in range(0, width, lanes):
                x = load(source, lanes, slot, self.kv_head, index, i).astype(vector("float32", lanes))
                store(target, x if scale is None else x * splat(scale, lanes), j, i)

    def _score(self, start: Expr) -> None:
        """Emit scores[j, row] = q[row] · keys[j], with softcap and ALiBi."""
        attrs, lanes = self.args.attrs, self.lanes
        with T.serial(i64(0), i64(CHUNK // self.block)) as part:
            first = T.bind(part * i64(self.block))
            for n in range(0, self.block * self.rows, lanes):
                store(self.sums, splat(f32(0), lanes), n)
            with T.serial(i64(0), i64(self.args.cache.state.head_dim)) as i:
                q = [T.bind(load(self.q, lanes, i, v)) for v in self._vectors]
                for b in range(self.block):
                    key = T.bind(splat(self.keys[first + b, i], lanes))
                    for v, row in enumerate(q):
                        at = b * self.rows + v * lanes
                        store(self.sums, load(self.sums, lanes, at) + key * row, at)
            for b in range(self.block):
                for v in self._vectors:
                    s = T.bind(load(self.sums, lanes, b * self.rows + v))
                    if attrs.softcap is not None:
                        s = tanh(T.bind(s * splat(f32(1 / attrs.softcap), lanes)), lanes)
                        s = s * splat(f32(attrs.softcap), lanes)
                    if attrs.alibi:
                        j = splat((start + first + b).astype("int32"), lanes)
                        away = (j - load(self.last, lanes, v)).astype(vector("float32", lanes))
                        s = s + load(self.slopes, lanes, v) * away
                    store(self.scores, s, first + b, v)

    def _hide(self, start: Expr, end: Expr, window: Expr | None) -> None:
        """Emit HIDDEN over the scores of positions that a row does not see."""
        attrs, lanes = self.args.attrs, self.lanes
        for v in self._vectors:
            last = T.bind(load(self.last, lanes, v))
            bound = T.bind(tirx.min(last, splat((end - 1).astype("int32"), lanes)))
            with T.serial(i64(0), i64(CHUNK)) as j:
                position = T.bind(splat((start + j).astype("int32"), lanes))
                score = T.bind(load(self.scores, lanes, j, v))
                hidden = splat(f32(HIDDEN), lanes)
                kept = tirx.Select(position <= bound, score, hidden)
                if window is not None:
                    oldest = last - splat(window.astype("int32"), lanes)
                    kept = tirx.Select(position > oldest, kept, hidden)
                if attrs.mask_block:
                    seen = load(self.sees, lanes, v) != splat(tirx.const(0, "int32"), lanes)
                    kept = tirx.Select(seen, kept, hidden)
                store(self.scores, kept, j, v)

    def _weigh(self) -> list[Expr]:
        """Emit scores → weights e^(score - maximum); the factors by which that shrinks older sums."""
        lanes, shrinks = self.lanes, []
        for v in self._vectors:
            before = T.bind(load(self.top, lanes, v))
            top = before
            for j in range(CHUNK):
                top = T.bind(tirx.max(top, load(self.scores, lanes, j, v)))
            store(self.top, top, v)
            shrink = exp_nonpositive(before - top, lanes)
            store(self.total, load(self.total, lanes, v) * shrink, v)
            with T.serial(i64(0), i64(CHUNK)) as j:
                weight = exp_nonpositive(load(self.scores, lanes, j, v) - top, lanes)
                store(self.scores, weight, j, v)
                store(self.total, load(self.total, lanes, v) + weight, v)
            shrinks.append(shrink)
        return shrinks

    def _accumulate(self, shrink: list[Expr]) -> None:
        """Emit result = result · shrink + Σ weights[j] · values[j]."""
        lanes, width = self.lanes, self.args.cache.state.v_dim
        block = math.gcd(width, self.block)
        with T.serial(i64(0), i64(width // block)) as part:
            first = T.bind(part * i64(block))
            # Place among the sums, element of the value row, first row of the vector.
            spots = [(b * self.rows + v, first + b, v) for b in range(block) for v in self._vectors]
            for spot, i, v in spots:
                store(self.sums, load(self.result, lanes, i, v) * shrink[v // lanes], spot)
            with T.serial(i64(0), i64(CHUNK)) as j:
                weights = [T.bind(load(self.scores, lanes, j, v)) for v in self._vectors]
                for spot, i, v in spots:
                    weighted = splat(self.values[j, i], lanes) * weights[v // lanes]
                    store(self.sums, load(self.sums, lanes, spot) + weighted, spot)
            for spot, i, v in spots:
                store(self.result, load(self.sums, lanes, spot), i, v)

    def _finish(self, first: Expr, count: Expr) -> None:
        args, group = self.args, self.args.group
        with T.grid(count, i64(group)) as (t, g):
            row, head = T.bind(t * i64(group) + g), T.bind(self.kv_head * i64(group) + g)
            total = T.bind(self.total[row])
            # A row that saw nothing has total 0 and gets zeros.
            inverse = T.bind(tirx.Select(total > 0, f32(1) / tirx.Select(total > 0, total, f32(1)), f32(0)))
            with T.serial(i64(0), i64(args.cache.state.v_dim)) as i:
                T.buffer_store(args.out, self.result[i, row] * inverse, [first + t, head, i])
