"""kv_append: rows of keys and values that are written where a KV state keeps them, quantized where it is INT8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tvm_ffi
from tvm import s_tir, te, tirx

from cosyn.codegen.tvm.compute.row import quantized_rows
from cosyn.codegen.tvm.kernels.attend_args import Buffer, Expr, cache_index, whole
from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState

_PLACED = "cosyn_placed"
"""Stands around an element of a stage that goes to a slot, and to an index along the positions of the state."""


def appended_rows(
    state: KVState, cache: Sequence[te.Tensor], k: te.Tensor, v: te.Tensor, positions: te.Tensor, slots: te.Tensor
) -> list[te.Tensor]:
    """The rows that a step adds to each of the tensors `cache` of `state`, as stages for `stored_in_state`.

    k f32[seq, n_kv_heads, head_dim], v f32[seq, n_kv_heads, v_dim], positions and slots i32[seq].
    """
    rows = [k, v]
    if state.dtype is DType.I8:
        (k_codes, k_scales), (v_codes, v_scales) = quantized_rows(k), quantized_rows(v)
        rows = [k_codes, v_codes, k_scales, v_scales]

    def stage(source: te.Tensor, target: te.Tensor) -> te.Tensor:
        def at(t: Expr, *inner: Expr) -> Expr:
            value = source(t, *inner)
            # Not where it changes nothing: OpenCL devices may lack arithmetic, but not storage, of f16.
            stored = value if source.dtype == target.dtype else value.astype(target.dtype)
            index = cache_index(state, target.shape[2], positions(t).astype("int64"))
            return tirx.call_pure_extern(target.dtype, _PLACED, stored, slots(t).astype("int64"), index)

        return te.compute(source.shape, at, name=f"append_{target.op.name}")

    return [stage(source, target) for source, target in zip(rows, cache, strict=True)]


def stored_in_state(function: tirx.PrimFunc, cache: Sequence[int]) -> tirx.PrimFunc:
    """`function`, whose last parameters are stages of `appended_rows`, with these written to the state instead.

    `cache`: the numbers of the parameters that hold the state. Not yet scheduled: a schedule moves what is left like
    any stage of rows.
    """
    params = list(function.params)
    kept, rows = params[: -len(cache)], params[-len(cache) :]
    homes = {r: params[number] for r, number in zip(rows, cache, strict=True)}
    body = tvm_ffi.structural_map(function.body, (s_tir.SBlock, lambda block: _stored(block, homes)))
    return tirx.PrimFunc(kept, body, function.ret_type, function.attrs)


def _stored(block: Any, homes: Mapping[Buffer, Buffer]) -> Any:
    home = next((h for rows, h in homes.items() if block.writes and block.writes[0].source.same_as(rows)), None)
    if home is None:
        return block
    _, value, slot, index = block.body.value.args
    _, head, *inner = block.body.indices
    # A scale has no axis of its own.
    at = [slot, head, index, *inner][: len(home.shape)]
    # Which part is written depends on data.
    writes = [whole(home)]
    return s_tir.SBlock(block.iter_vars, block.reads, writes, block.name_hint, tirx.BufferStore(home, value, at))
