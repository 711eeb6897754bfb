"""kv_append: write the keys and values of a step into a KV state, quantizing where the state is INT8."""

from __future__ import annotations

import math

from tvm import s_tir, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import Buffer, Expr, argument, declare_cache, f32, i64
from cosyn.ir.graph import KVState

BLOCK = "kv_append"
"""Name of the only block: one instance per (token, KV head)."""


def kv_append_prim_func(state: KVState, *, seq: int | None = None, name: str = BLOCK) -> tirx.PrimFunc:
    """The append to `state`, unscheduled and target neutral.

    Arguments: the state (k, v [, k_scales, v_scales]), k f32[seq, n_kv_heads, head_dim],
    v f32[seq, n_kv_heads, v_dim], positions i32[seq], slots i32[seq]. INT8 rows are quantized as
    `quantize_rows` does. `seq` fixes the number of tokens. ValueError for a state type without kernels.
    """
    tokens = i64(seq) if seq is not None else tirx.Var("seq", "int64")
    heads = i64(state.n_kv_heads)
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(name)
            T.func_attr({"tirx.noalias": True})
            cache = declare_cache(state)
            k = argument("k", (tokens, heads, state.head_dim), "float32")
            v = argument("v", (tokens, heads, state.v_dim), "float32")
            positions = argument("positions", (tokens,), "int32")
            slots = argument("slots", (tokens,), "int32")
            with T.grid(tokens, heads) as (t, h), T.sblock(BLOCK):
                token = T.axis.spatial(tokens, t, dtype="int64")
                head = T.axis.spatial(heads, h, dtype="int64")
                rows = k[token, head, 0 : state.head_dim], v[token, head, 0 : state.v_dim]
                T.reads(*rows, positions[token], slots[token])
                T.writes(*cache.regions)
                position = T.bind(positions[token].astype("int64"))
                row = (T.bind(slots[token].astype("int64")), head, T.bind(cache.index(position)))
                _write_row(k, (token, head), cache.k, cache.k_scales, row, state.head_dim)
                _write_row(v, (token, head), cache.v, cache.v_scales, row, state.v_dim)
        return builder.get()


def _write_row(
    source: Buffer,
    at: tuple[Expr, ...],
    target: Buffer,
    scales: Buffer | None,
    row: tuple[Expr, ...],
    width: int,
) -> None:
    """Emit the copy of one head of one token, converted to the type of the state."""
    if scales is None:
        with T.serial(i64(0), i64(width)) as i:
            T.buffer_store(target, source[(*at, i)].astype(target.dtype), [*row, i])
        return
    lanes = math.gcd(width, 16)
    tops = T.sblock_alloc_buffer((i64(lanes),), "float32", scope="local")
    top = T.sblock_alloc_buffer((i64(1),), "float32", scope="local")
    # Independent maxima, which a compiler may put into one vector register.
    with T.serial(i64(0), i64(lanes)) as lane:
        T.buffer_store(tops, f32(0), [lane])
    with T.grid(i64(width // lanes), i64(lanes)) as (i, lane):
        T.buffer_store(tops, tirx.max(tops[lane], tirx.abs(source[(*at, i * lanes + lane)])), [lane])
    T.buffer_store(top, tops[0], [0])
    with T.serial(i64(1), i64(lanes)) as lane:
        T.buffer_store(top, tirx.max(top[0], tops[lane]), [0])
    scale = T.bind(top[0] / f32(127))
    # A row of zeros has scale 0 and codes 0.
    inverse = T.bind(tirx.Select(scale > 0, f32(1) / tirx.Select(scale > 0, scale, f32(1)), f32(0)))
    T.buffer_store(scales, scale, list(row))
    with T.serial(i64(0), i64(width)) as i:
        code = round_to_even(source[(*at, i)] * inverse)
        bounded = tirx.max(tirx.min(code, f32(127)), f32(-127))
        T.buffer_store(target, bounded.astype("int8"), [*row, i])


def round_to_even(x: Expr) -> Expr:
    """`x` (f32) rounded to the nearest integer, ties to even.

    Not `nearbyint`, which OpenCL C lacks; nor adding and subtracting 1.5 · 2^23, which TVM simplifies away.
    """
    low = tirx.floor(x)
    rest = x - low
    odd = low - f32(2) * tirx.floor(low * f32(0.5))
    up = tirx.any(rest > f32(0.5), tirx.all(rest == f32(0.5), odd > f32(0)))
    return low + tirx.Select(up, f32(1), f32(0))


def schedule_kv_append_cpu(sch: s_tir.Schedule, func_name: str = "main") -> None:
    """Leave it serial: a step appends a few kilobytes, less than waking a thread costs."""
    sch.work_on(func_name)


def schedule_kv_append_gpu(sch: s_tir.Schedule, func_name: str = "main", threads: int = 64) -> None:
    """One thread per (token, KV head), `threads` to a block."""
    bind_to_threads(sch, func_name, BLOCK, threads)


def bind_to_threads(sch: s_tir.Schedule, func_name: str, block: str, threads: int) -> None:
    """Fuse all loops around `block` and spread their instances over GPU threads."""
    fused = sch.fuse(*sch.get_loops(sch.get_sblock(block, func_name)))
    outer, inner = sch.split(fused, [None, threads])
    sch.bind(outer, "blockIdx.x")
    sch.bind(inner, "threadIdx.x")
