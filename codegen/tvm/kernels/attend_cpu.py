"""attend for CPUs: tiles of (token, head) rows that share one KV head, each row a vector lane.

A task is one KV head and a tile of consecutive tokens. Within it, the longest runs of tokens of one slot at
consecutive positions are attended together, so that a key read from the cache serves the whole run and its
query group: `attend_tile.py`, with rows in vector lanes. Tokens on their own, as in decode, have too few rows
for that where few heads share a KV head, and go through `attend_single.py`, with the elements of a head in the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend import BLOCK
from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Expr, declare_attend, i64, whole
from cosyn.codegen.tvm.kernels.attend_part import Part, PartBuffers, merge, part_of
from cosyn.codegen.tvm.kernels.attend_single import SingleToken
from cosyn.codegen.tvm.kernels.attend_tile import RowTile
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs

MERGE = "attend_merge"
"""Name of the block that joins the parts of a head."""


def attend_cpu_prim_func(
    attrs: AttentionAttrs,
    state: KVState,
    n_heads: int,
    *,
    lanes: int = 16,
    threads: int = 1,
    seq: int | None = None,
    name: str = BLOCK,
) -> tirx.PrimFunc:
    """Same meaning and arguments as `attend_prim_func`; `lanes` f32 values fit a vector register.

    `schedule_attend_cpu` spreads its tasks over threads. Where `seq` is 1 the KV heads alone may leave some of
    `threads` idle; then they are cut along the sequence too.
    """
    tokens = i64(seq) if seq is not None else tirx.Var("seq", "int64")
    size = tile_tokens(n_heads // state.n_kv_heads, lanes, seq)
    parts = threads // math.gcd(threads, state.n_kv_heads) if seq == 1 else 1
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(name)
            T.func_attr({"tirx.noalias": True})
            args = declare_attend(attrs, state, n_heads, tokens)
            inputs = (args.q, args.positions, args.slots, args.slopes, args.mask)
            regions = [*args.cache.regions, *(whole(b) for b in inputs if b is not None)]
            if parts > 1:
                _emit_parts(args, parts, regions, lanes)
            else:
                _emit_tiles(args, size, regions, lanes)
        return builder.get()


def _emit_tiles(args: AttendArgs, size: int, regions: list[object], lanes: int) -> None:
    """Emit the attention of all tokens as tasks of `size` tokens and one KV head."""
    heads = i64(args.cache.state.n_kv_heads)
    tiles = tirx.truncdiv(args.seq + i64(size - 1), i64(size))
    # KV heads outside, and tiles as first, last, second, second to last, …: threads get equal shares even though
    # later tokens see more positions.
    with T.grid(heads, tiles) as (h, c), T.sblock(BLOCK):
        kv_head = T.axis.spatial(heads, h, dtype="int64")
        turn = T.axis.spatial(tiles, c, dtype="int64")
        T.reads(*regions)
        T.writes(whole(args.out))
        half = tirx.truncdiv(turn, i64(2))
        # Through memory: TVM would write the expression out wherever the name is read.
        start = T.sblock_alloc_buffer((i64(1),), "int64", scope="local")
        tile = tirx.Select(tirx.truncmod(turn, i64(2)) == 0, half, tiles - 1 - half)
        T.buffer_store(start, tile * i64(size), [0])
        _for_runs(args, T.bind(start[0]), size, _run_emitter(args, kv_head, size, lanes))


def _emit_parts(args: AttendArgs, parts: int, regions: list[object], lanes: int) -> None:
    """Emit the attention of one token as `parts` tasks per KV head, and their merge."""
    kv_heads = i64(args.cache.state.n_kv_heads)
    buffers = PartBuffers.allocate(args, parts)
    scratch = [whole(b) for b in (buffers.tops, buffers.totals, buffers.results)]
    with T.grid(kv_heads, i64(parts)) as (h, p), T.sblock(BLOCK):
        kv_head = T.axis.spatial(kv_heads, h, dtype="int64")
        index = T.axis.spatial(i64(parts), p, dtype="int64")
        T.reads(*regions)
        T.writes(*scratch)
        _lone_token(args, kv_head, lanes)(i64(0), part_of(args, buffers, parts, index))
    with T.grid(i64(args.n_heads)) as h, T.sblock(MERGE):
        head = T.axis.spatial(i64(args.n_heads), h, dtype="int64")
        T.reads(*scratch)
        T.writes(whole(args.out))
        merge(args, buffers, parts, head, lanes)


def tile_tokens(group: int, lanes: int, seq: int | None) -> int:
    """Tokens per tile: as many as fill one vector with their rows, at least one."""
    return max(1, min(lanes // group, seq or lanes))


def _lone_token(args: AttendArgs, kv_head: Expr, lanes: int) -> Callable[[Expr, Part | None], None]:
    """What emits the attention of a token on its own: by elements if its heads fill at most half a vector."""
    if 2 * args.group <= lanes:
        return SingleToken(args, kv_head, lanes).attend
    rows = RowTile(args, kv_head, 1, lanes)
    return lambda token, part: rows.attend(token, i64(1), part)


def _run_emitter(args: AttendArgs, kv_head: Expr, size: int, lanes: int) -> Callable[[Expr, Expr], None]:
    """What emits the attention of a run: one token with a small group by elements, anything else by rows."""
    lone = _lone_token(args, kv_head, lanes)
    if size == 1:
        return lambda first, _count: lone(first, None)
    rows = RowTile(args, kv_head, size, lanes)

    def attend(first: Expr, count: Expr) -> None:
        with T.If(count == 1):
            with T.Then():
                lone(first, None)
            with T.Else():
                rows.attend(first, count)

    return attend


def _for_runs(args: AttendArgs, start: Expr, size: int, attend: Callable[[Expr, Expr], None]) -> None:
    """Emit `attend(first, count)` for each run of one slot and consecutive positions in a tile."""
    if size == 1:
        attend(start, i64(1))
        return
    slots, positions = args.slots, args.positions
    end = T.bind(tirx.min(start + i64(size), args.seq))
    count = T.sblock_alloc_buffer((i64(1),), "int64", scope="local")

    def follows(token: Expr) -> Expr:
        before = tirx.max(token - 1, i64(0))
        return tirx.all(slots[token] == slots[before], positions[token] == positions[before] + 1)

    T.buffer_store(count, i64(0), [0])
    with T.serial(start, end) as token:
        T.buffer_store(count, count[0] + 1, [0])
        following = tirx.min(token + 1, args.seq - 1)
        with T.If(tirx.any(token + 1 == end, tirx.Not(follows(following)))), T.Then():
            attend(T.bind(token + 1 - count[0]), T.bind(count[0]))
            T.buffer_store(count, i64(0), [0])
