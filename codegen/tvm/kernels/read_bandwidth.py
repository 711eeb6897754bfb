"""A kernel that does nothing but read: what `cosyn bench` measures the memory with."""

from __future__ import annotations

from tvm import s_tir, te, tirx

from cosyn.codegen.tvm.kernels.packed_weight import i64

_CHUNKS = 16  # parallel, neighbours in memory: any small number of threads gets equal shares
_LANES = 128  # accumulators beside each other: 8 vectors of 16 hide the latency of an addition

GRANULE = _CHUNKS * _LANES
"""The kernel reads the largest multiple of this many elements."""


def read_bandwidth_prim_func(lanes: int = 16) -> tirx.PrimFunc:
    """(data f32 `[n]`, total f32 `[1]`): the sum of data, in parallel, every element read once, in order.

    Elements after the last whole `GRANULE` are left out. `lanes` is the width of a vector.
    """
    n = tirx.Var("n", "int64")
    data = te.placeholder((n,), "float32", name="data")
    steps = tirx.floordiv(n, GRANULE)
    i = te.reduce_axis((i64(0), steps), name="i")
    partial = te.compute(
        (i64(_CHUNKS), i64(_LANES)),
        lambda c, lane: te.sum(data((c * steps + i) * _LANES + lane), axis=i),
        name="partial",
    )
    c = te.reduce_axis((i64(0), i64(_CHUNKS)), name="c")
    lane = te.reduce_axis((i64(0), i64(_LANES)), name="lane")
    total = te.compute((i64(1),), lambda _: te.sum(partial(c, lane), axis=[c, lane]), name="total")
    schedule = s_tir.Schedule(te.create_prim_func([data, total]))
    block = schedule.get_sblock("partial")
    written = schedule.cache_write(block, 0, "local")
    chunk, column, step = schedule.get_loops(block)
    u, v = schedule.split(column, [None, lanes])
    schedule.reorder(chunk, step, u, v)
    schedule.reverse_compute_at(written, chunk)
    schedule.vectorize(schedule.split(schedule.get_loops(written)[-1], [None, lanes])[-1])
    schedule.unroll(u)
    schedule.vectorize(v)
    schedule.parallel(chunk)
    schedule.decompose_reduction(block, step)
    return schedule.mod["main"].with_attr("global_symbol", "read_bandwidth")
