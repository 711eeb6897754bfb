"""attend: attention of every token over the cached positions of its slot, one instance per (token, head).

This form is target neutral: GPUs bind its loops to threads, and unscheduled it is the numeric check of the
others. CPUs run the form in `attend_cpu.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import s_tir, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import AttendArgs, Expr, declare_attend, f32, i64, whole
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs

BLOCK = "attend"
"""Name of the only block: one instance per (token, head)."""
LOWEST = -1e30
"""The maximum before any score; e^(LOWEST - score) is 0 for every score that occurs."""

ENDLESS = 1 << 30
"""A window that hides nothing: no position is as large."""


def attend_prim_func(
    attrs: AttentionAttrs, state: KVState, n_heads: int, *, seq: int | None = None, name: str = BLOCK
) -> tirx.PrimFunc:
    """Attention by online softmax (Milakov & Gimelshein 2018, algorithm 3), in f32.

    Arguments: q f32[seq, n_heads, head_dim], the state (k, v [, k_scales, v_scales]), positions i32[seq],
    slots i32[seq], [slopes f32[n_heads]], [mask u8[n_heads, rows, columns]], out f32[seq, n_heads, v_dim].
    Positions outside the window and blocks that the mask hides are not read. A token that sees nothing gets
    zeros. `seq` fixes the number of tokens. ValueError for heads, windows or types that do not fit.
    """
    tokens = i64(seq) if seq is not None else tirx.Var("seq", "int64")
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(name)
            T.func_attr({"tirx.noalias": True})
            args = declare_attend(attrs, state, n_heads, tokens)
            with T.grid(tokens, i64(n_heads)) as (t, h), T.sblock(BLOCK):
                token = T.axis.spatial(tokens, t, dtype="int64")
                head = T.axis.spatial(i64(n_heads), h, dtype="int64")
                extra = [whole(b) for b in (args.slopes, args.mask) if b is not None]
                q = args.q[token, head, 0 : state.head_dim]
                T.reads(q, *args.cache.regions, args.positions[token], args.slots[token], *extra)
                T.writes(args.out[token, head, 0 : state.v_dim])
                _attend_one(args, token, head)
        return builder.get()


def _attend_one(args: AttendArgs, token: Expr, head: Expr) -> None:
    """Emit the attention of one head of one token."""
    attrs, cache, state = args.attrs, args.cache, args.cache.state
    top = T.sblock_alloc_buffer((i64(1),), "float32", scope="local")
    total = T.sblock_alloc_buffer((i64(1),), "float32", scope="local")
    score = T.sblock_alloc_buffer((i64(1),), "float32", scope="local")
    acc = T.sblock_alloc_buffer((i64(state.v_dim),), "float32", scope="local")
    position = T.bind(args.positions[token].astype("int64"))
    slot = T.bind(args.slots[token].astype("int64"))
    kv_head = T.bind(tirx.truncdiv(head, i64(args.group)))
    T.buffer_store(top, f32(LOWEST), [0])
    T.buffer_store(total, f32(0), [0])
    with T.serial(i64(0), i64(state.v_dim)) as i:
        T.buffer_store(acc, f32(0), [i])

    def read(j: Expr) -> None:
        row = (slot, kv_head, T.bind(cache.index(j)))
        T.buffer_store(score, f32(0), [0])
        with T.serial(i64(0), i64(state.head_dim)) as i:
            key = cache.k[(*row, i)].astype("float32")
            T.buffer_store(score, score[0] + args.q[token, head, i] * key, [0])
        scaled = score[0] * f32(attrs.scale)
        if cache.k_scales is not None:
            scaled = scaled * cache.k_scales[row]
        if attrs.softcap is not None:
            scaled = tirx.tanh(scaled / f32(attrs.softcap)) * f32(attrs.softcap)
        if args.slopes is not None:
            scaled = scaled + args.slopes[head] * (j - position).astype("float32")
        s = T.bind(scaled)
        higher = T.bind(tirx.max(top[0], s))
        shrink = T.bind(tirx.exp(top[0] - higher))
        weight = T.bind(tirx.exp(s - higher))
        T.buffer_store(top, higher, [0])
        T.buffer_store(total, total[0] * shrink + weight, [0])
        portion = weight if cache.v_scales is None else weight * cache.v_scales[row]
        with T.serial(i64(0), i64(state.v_dim)) as i:
            T.buffer_store(acc, acc[i] * shrink + portion * cache.v[(*row, i)].astype("float32"), [i])

    for_ranges(attrs, position, position, lambda begin, end, _: _for_visible(args, head, position, begin, end, read))
    # A token that saw nothing has total 0 and gets zeros.
    inverse = T.bind(tirx.Select(total[0] > 0, f32(1) / tirx.Select(total[0] > 0, total[0], f32(1)), f32(0)))
    with T.serial(i64(0), i64(state.v_dim)) as i:
        T.buffer_store(args.out, acc[i] * inverse, [token, head, i])


def for_ranges(attrs: AttentionAttrs, first: Expr, last: Expr, emit: Callable[[Expr, Expr, Expr | None], None]) -> None:
    """Emit, once, code that runs for each half-open range of positions that tokens `first` … `last` see.

    `emit(begin, end, window)` is given the sinks and then the window, where the attributes have them. Within
    a range a token at p sees j ≤ p and, unless `window` is None, j > p - window.
    """
    end = T.bind(last + 1)
    if attrs.window is None:
        emit(i64(0), end, None)
        return
    oldest = T.bind(tirx.min(tirx.max(first - i64(attrs.window - 1), i64(attrs.sinks)), end))
    if not attrs.sinks:
        emit(oldest, end, i64(attrs.window))
        return
    with T.serial(i64(0), i64(2)) as part:
        sinks = part == 0
        begin = T.bind(tirx.Select(sinks, i64(0), oldest))
        stop = T.bind(tirx.Select(sinks, tirx.min(end, i64(attrs.sinks)), end))
        emit(begin, stop, T.bind(tirx.Select(sinks, i64(ENDLESS), i64(attrs.window))))


def _for_visible(
    args: AttendArgs, head: Expr, position: Expr, begin: Expr, end: Expr, read: Callable[[Expr], None]
) -> None:
    """Emit `read` for each position in `begin` … `end`, passing over the blocks that the mask hides."""
    if args.mask is None:
        with T.serial(begin, end) as j:
            read(j)
        return
    row = tirx.truncdiv(position, i64(args.attrs.mask_block))
    with T.serial(*blocks(args.attrs.mask_block, begin, end)) as block:
        visible = args.mask[head, row, block] != tirx.const(0, "uint8")
        with T.If(visible), T.Then():
            low, high = within_block(args.attrs.mask_block, block, begin, end)
            with T.serial(low, high) as j:
                read(j)


def blocks(size: int, begin: Expr, end: Expr) -> tuple[Expr, Expr]:
    """The half-open range of blocks of `size` positions that hold positions `begin` … `end`."""
    return tirx.truncdiv(begin, i64(size)), tirx.truncdiv(end + i64(size - 1), i64(size))


def within_block(size: int, block: Expr, begin: Expr, end: Expr) -> tuple[Expr, Expr]:
    """The positions of `begin` … `end` that lie in `block`. Emits statements."""
    first = block * i64(size)
    return T.bind(tirx.max(begin, first)), T.bind(tirx.min(end, first + i64(size)))


def schedule_attend_cpu(sch: s_tir.Schedule, func_name: str = "main") -> None:
    """Spread the instances over the threads of the target."""
    sch.parallel(sch.fuse(*sch.get_loops(sch.get_sblock(BLOCK, func_name))))


def schedule_attend_gpu(sch: s_tir.Schedule, func_name: str = "main", threads: int = 64) -> None:
    """One thread per (token, head), `threads` to a block; no barriers and no shared memory."""
    fused = sch.fuse(*sch.get_loops(sch.get_sblock(BLOCK, func_name)))
    outer, inner = sch.split(fused, [None, threads])
    sch.bind(outer, "blockIdx.x")
    sch.bind(inner, "threadIdx.x")
