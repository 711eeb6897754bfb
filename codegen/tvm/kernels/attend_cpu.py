"""attend for CPUs: tiles of (token, head) rows that share one KV head, each row a vector lane.

A task is one KV head and a tile of consecutive tokens. Within it, the longest runs of tokens of one slot at
consecutive positions are attended together, so that a key read from the cache serves the whole run and its
query group: `attend_tile.py`, with rows in vector lanes. Tokens on their own, as in decode, have too few rows
for that and go through `attend_single.py`, with the elements of a head in the lanes.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend import BLOCK
from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Expr, declare_attend, i64, whole
from cosyn.codegen.tvm.kernels.attend_single import SingleToken
from cosyn.codegen.tvm.kernels.attend_tile import RowTile
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs


def attend_cpu_prim_func(
    attrs: AttentionAttrs,
    state: KVState,
    n_heads: int,
    *,
    lanes: int = 16,
    seq: int | None = None,
    name: str = BLOCK,
) -> tirx.PrimFunc:
    """Same meaning and arguments as `attend_prim_func`; `lanes` f32 values fit a vector register.

    `schedule_attend_cpu` spreads its tasks over threads.
    """
    tokens = i64(seq) if seq is not None else tirx.Var("seq", "int64")
    heads = i64(state.n_kv_heads)
    size = tile_tokens(n_heads // state.n_kv_heads, lanes, seq)
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(name)
            T.func_attr({"tirx.noalias": True})
            args = declare_attend(attrs, state, n_heads, tokens)
            tiles = tirx.truncdiv(tokens + i64(size - 1), i64(size))
            # KV heads outside: threads get equal shares even though later tokens see more positions.
            with T.grid(heads, tiles) as (h, c), T.sblock(BLOCK):
                kv_head = T.axis.spatial(heads, h, dtype="int64")
                tile = T.axis.spatial(tiles, c, dtype="int64")
                inputs = (args.q, args.positions, args.slots, args.slopes, args.mask)
                T.reads(*args.cache.regions, *(whole(b) for b in inputs if b is not None))
                T.writes(whole(args.out))
                _for_runs(args, T.bind(tile * i64(size)), size, _run_emitter(args, kv_head, size, lanes))
        return builder.get()


def tile_tokens(group: int, lanes: int, seq: int | None) -> int:
    """Tokens per tile: as many as fill one vector with their rows, at least one."""
    return max(1, min(lanes // group, seq or lanes))


def _run_emitter(args: AttendArgs, kv_head: Expr, size: int, lanes: int) -> Callable[[Expr, Expr], None]:
    """What emits the attention of a run: one token with a small group by elements, anything else by rows."""
    small = 2 * args.group <= lanes
    if size > 1 or not small:
        rows = RowTile(args, kv_head, size, lanes)
    if not small:
        return rows.attend
    single = SingleToken(args, kv_head, lanes)
    if size == 1:
        return lambda first, _count: single.attend(first)

    def attend(first: Expr, count: Expr) -> None:
        with T.If(count == 1):
            with T.Then():
                single.attend(first)
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
