"""Attention of a tile of rows, one row per vector lane."""

from __future__ import annotations

import math

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend import LOWEST, visible_ranges
from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Buffer, Expr, f32, i64
from cosyn.codegen.tvm.kernels.attend_math import exp_nonpositive, tanh
from cosyn.codegen.tvm.kernels.attend_vector import HIDDEN, local, splat

CHUNK = 16
"""Positions scored before the running maximum is updated."""
class RowTile:
    """Emits attention for runs of up to `tokens` tokens, rows (token, query head of the group) in lanes.

    Holds the scratch buffers: q transposed [head_dim, rows], scores [CHUNK, rows], result [v_dim, rows], and a
    chunk of keys or values converted to f32, whose elements multiply a vector of rows each.
    """

    def __init__(self, args: AttendArgs, kv_head: Expr, tokens: int, lanes: int) -> None:
        state = args.cache.state
        self.args, self.kv_head, self.lanes = args, kv_head, lanes
        self.vectors = -(-tokens * args.group // lanes)
        self.rows = self.vectors * lanes
        self.partial = tokens * args.group != self.rows
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

    def load(self, buffer: Buffer, *at: Expr | int) -> Expr:
        """The vector of `buffer` that starts at `at`."""
        return buffer.vload(list(at), f"{buffer.dtype}x{self.lanes}" if self.lanes > 1 else buffer.dtype)

    def store(self, buffer: Buffer, value: Expr, *at: Expr | int) -> None:
        T.add_to_parent(buffer.vstore(list(at), value))

    def attend(self, first: Expr, count: Expr) -> None:
        """Emit the attention of tokens `first` … `first + count - 1`: one slot, consecutive positions."""
        args, attrs = self.args, self.args.attrs
        slot = T.bind(args.slots[first].astype("int64"))
        low = T.bind(args.positions[first].astype("int64"))
        high = T.bind(low + count - 1)
        self._begin(first, count)
        ranges = visible_ranges(attrs, low, high)
        for i, (begin, end) in enumerate(ranges):
            windowed = attrs.window is not None and i == len(ranges) - 1
            if not attrs.mask_block:
                self._chunks(slot, low, high, begin, end, windowed)
                continue
            size = i64(attrs.mask_block)
            with T.serial(tirx.truncdiv(begin, size), tirx.truncdiv(end + size - 1, size)) as block:
                self._mask_rows(count, low, block)
                with T.If(self.any[0] != 0), T.Then():
                    start, stop = tirx.max(begin, block * size), tirx.min(end, block * size + size)
                    self._chunks(slot, low, high, T.bind(start), T.bind(stop), windowed)
        self._finish(first, count)

    def _begin(self, first: Expr, count: Expr) -> None:
        args, group = self.args, self.args.group
        lanes, width = self.lanes, args.cache.state.head_dim
        zero = splat(f32(0), lanes)
        for v in range(0, self.rows, lanes):
            self.store(self.top, splat(f32(LOWEST), lanes), v)
            self.store(self.total, zero, v)
            self.store(self.last, splat(tirx.const(-1, "int32"), lanes), v)
            if args.slopes is not None:
                self.store(self.slopes, zero, v)
            with T.serial(i64(0), i64(args.cache.state.v_dim)) as i:
                self.store(self.result, zero, i, v)
            # Lanes without a row score 0 everywhere; nobody reads their result.
            with T.serial(i64(0), i64(width)) as i:
                self.store(self.q, zero, i, v)
        with T.grid(count, i64(group)) as (t, g):
            row, head = T.bind(t * i64(group) + g), T.bind(self.kv_head * i64(group) + g)
            T.buffer_store(self.last, args.positions[first + t], [row])
            if args.slopes is not None:
                T.buffer_store(self.slopes, args.slopes[head], [row])
            with T.serial(i64(0), i64(width)) as i:
                T.buffer_store(self.q, args.q[first + t, head, i] * f32(args.attrs.scale), [i, row])

    def _mask_rows(self, count: Expr, low: Expr, block: Expr) -> None:
        """Emit which rows see `block`, and whether any does."""
        mask, group, size = self.args.mask, self.args.group, i64(self.args.attrs.mask_block)
        T.buffer_store(self.any, tirx.const(0, "int32"), [0])
        for v in range(0, self.rows, self.lanes):
            self.store(self.sees, splat(tirx.const(0, "int32"), self.lanes), v)
        with T.grid(count, i64(group)) as (t, g):
            head = self.kv_head * i64(group) + g
            bit = T.bind(mask[head, tirx.truncdiv(low + t, size), block].astype("int32"))
            T.buffer_store(self.sees, bit, [t * i64(group) + g])
            T.buffer_store(self.any, tirx.bitwise_or(self.any[0], bit), [0])

    def _chunks(self, slot: Expr, low: Expr, high: Expr, begin: Expr, end: Expr, windowed: bool) -> None:
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
            if windowed:
                whole = tirx.all(whole, start > high - i64(attrs.window))
            if attrs.mask_block:
                self._hide(start, end, windowed)
            else:
                with T.If(tirx.Not(whole)), T.Then():
                    self._hide(start, end, windowed)
            shrink = self._weigh()
            self._convert(cache.v, cache.v_scales, self.values, slot, base, count)
            self._accumulate(shrink)

    def _convert(
        self, source: Buffer, scales: Buffer | None, target: Buffer, slot: Expr, base: Expr, count: Expr
    ) -> None:
        """Emit the chunk's rows as f32; past its end the last row again, whose weight is 0."""
        cache, width = self.args.cache, int(target.shape[1])
        lanes = math.gcd(width, 16)
        kind, wide = (f"{source.dtype}x{lanes}", f"float32x{lanes}") if lanes > 1 else (source.dtype, "float32")
        with T.serial(i64(0), i64(CHUNK)) as j:
            index = T.bind(base + tirx.min(j, count - 1))
            if cache.state.window:
                # A chunk that starts among the sinks ends there: it never reaches the end of the ring.
                turn = cache.capacity - i64(cache.state.sinks)
                index = T.bind(tirx.Select(index >= cache.capacity, index - turn, index))
            scale = None if scales is None else T.bind(scales[slot, self.kv_head, index])
            for i in range(0, width, lanes):
                x = source.vload([slot, self.kv_head, index, i], kind).astype(wide)
                T.add_to_parent(target.vstore([j, i], x if scale is None else x * splat(scale, lanes)))

    def _score(self, start: Expr) -> None:
        """Emit scores[j, row] = q[row] · keys[j], with softcap and ALiBi."""
        attrs, lanes = self.args.attrs, self.lanes
        with T.serial(i64(0), i64(CHUNK // self.block)) as part:
            first = T.bind(part * i64(self.block))
            for n in range(0, self.block * self.rows, lanes):
                self.store(self.sums, splat(f32(0), lanes), n)
            with T.serial(i64(0), i64(self.args.cache.state.head_dim)) as i:
                q = [T.bind(self.load(self.q, i, v)) for v in range(0, self.rows, lanes)]
                for b in range(self.block):
                    key = T.bind(splat(self.keys[first + b, i], lanes))
                    for v, row in enumerate(q):
                        at = b * self.rows + v * lanes
                        self.store(self.sums, self.load(self.sums, at) + key * row, at)
            for b in range(self.block):
                for v in range(0, self.rows, lanes):
                    s = T.bind(self.load(self.sums, b * self.rows + v))
                    if attrs.softcap is not None:
                        s = tanh(T.bind(s * splat(f32(1 / attrs.softcap), lanes)), lanes) * splat(f32(attrs.softcap), lanes)
                    if attrs.alibi:
                        j = splat((start + first + b).astype("int32"), lanes)
                        away = (j - self.load(self.last, v)).astype(f"float32x{lanes}" if lanes > 1 else "float32")
                        s = s + self.load(self.slopes, v) * away
                    self.store(self.scores, s, first + b, v)

    def _hide(self, start: Expr, end: Expr, windowed: bool) -> None:
        """Emit HIDDEN over the scores of positions that a row does not see."""
        attrs, lanes = self.args.attrs, self.lanes
        for v in range(0, self.rows, lanes):
            last = T.bind(self.load(self.last, v))
            bound = T.bind(tirx.min(last, splat((end - 1).astype("int32"), lanes)))
            with T.serial(i64(0), i64(CHUNK)) as j:
                position = T.bind(splat((start + j).astype("int32"), lanes))
                score = T.bind(self.load(self.scores, j, v))
                hidden = splat(f32(HIDDEN), lanes)
                kept = tirx.Select(position <= bound, score, hidden)
                if windowed:
                    kept = tirx.Select(position > last - splat(tirx.const(attrs.window, "int32"), lanes), kept, hidden)
                if attrs.mask_block:
                    kept = tirx.Select(self.load(self.sees, v) != splat(tirx.const(0, "int32"), lanes), kept, hidden)
                self.store(self.scores, kept, j, v)

    def _weigh(self) -> list[Expr]:
        """Emit scores → weights e^(score - maximum); the factors by which a new maximum shrinks earlier sums."""
        lanes, shrinks = self.lanes, []
        for v in range(0, self.rows, lanes):
            before = T.bind(self.load(self.top, v))
            top = before
            for j in range(CHUNK):
                top = T.bind(tirx.max(top, self.load(self.scores, j, v)))
            self.store(self.top, top, v)
            shrink = exp_nonpositive(before - top, lanes)
            self.store(self.total, self.load(self.total, v) * shrink, v)
            with T.serial(i64(0), i64(CHUNK)) as j:
                weight = exp_nonpositive(self.load(self.scores, j, v) - top, lanes)
                self.store(self.scores, weight, j, v)
                self.store(self.total, self.load(self.total, v) + weight, v)
            shrinks.append(shrink)
        return shrinks

    def _accumulate(self, shrink: list[Expr]) -> None:
        """Emit result = result · shrink + Σ weights[j] · values[j]."""
        lanes, width = self.lanes, self.args.cache.state.v_dim
        block = math.gcd(width, self.block)
        with T.serial(i64(0), i64(width // block)) as part:
            first = T.bind(part * i64(block))
            spots = [(b, v) for b in range(block) for v in range(self.vectors)]
            for b, v in spots:
                self.store(self.sums, self.load(self.result, first + b, v * lanes) * shrink[v], b * self.rows + v * lanes)
            with T.serial(i64(0), i64(CHUNK)) as j:
                weights = [T.bind(self.load(self.scores, j, v)) for v in range(0, self.rows, lanes)]
                for b, v in spots:
                    at = b * self.rows + v * lanes
                    self.store(self.sums, self.load(self.sums, at) + splat(self.values[j, first + b], lanes) * weights[v], at)
            for b, v in spots:
                self.store(self.result, self.load(self.sums, b * self.rows + v * lanes), first + b, v * lanes)

    def _finish(self, first: Expr, count: Expr) -> None:
        args, group = self.args, self.args.group
        with T.grid(count, i64(group)) as (t, g):
            row, head = T.bind(t * i64(group) + g), T.bind(self.kv_head * i64(group) + g)
            total = T.bind(self.total[row])
            # A row that saw nothing has total 0 and gets zeros.
            inverse = T.bind(tirx.Select(total > 0, f32(1) / tirx.Select(total > 0, total, f32(1)), f32(0)))
            with T.serial(i64(0), i64(args.cache.state.v_dim)) as i:
                T.buffer_store(args.out, self.result[i, row] * inverse, [first + t, head, i])
