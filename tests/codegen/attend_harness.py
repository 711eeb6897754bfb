"""Runs the KV kernels beside the reference semantics, step by step over a shared state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import tvm
from tvm import s_tir, tirx

from cosyn.codegen.tvm.lower_group import GroupLowering
from cosyn.codegen.tvm.schedule_rows_cpu import schedule_rows
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input, KVState
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import make_node
from cosyn.ir.ops.attention import AttendAttrs, KVCache, attend
from cosyn.ir.types import SEQ, TensorType
from cosyn.passes.fuse import fuse

TARGET = {"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu(), "num-cores": 2}

Array = np.ndarray
AttendBuilder = Callable[..., tuple[tirx.PrimFunc, Callable[[s_tir.Schedule], None]]]


def compile_cpu(func: tirx.PrimFunc, schedule: Callable[[s_tir.Schedule], None] | None) -> Callable[..., None]:
    """A callable of the function on this machine; unscheduled where `schedule` is None."""
    sch = s_tir.Schedule(tvm.IRModule({"main": func}))
    if schedule is not None:
        schedule(sch)
    return build_cpu(sch.mod, TARGET)["main"]


def append_prim_func(state: KVState, seq: int | None = None) -> tirx.PrimFunc:
    """An append alone, unscheduled, of the arguments: the state's tensors, k, v, positions, slots."""
    rows = {"k": state.head_dim, "v": state.v_dim}
    inputs = [Input(n, TensorType((SEQ, state.n_kv_heads, d), DType.F32)) for n, d in rows.items()]
    inputs += [Input(n, TensorType((SEQ,), DType.I32)) for n in ("positions", "slots")]
    graph = Graph("g", {"seq": (1, 4096)}, tuple(inputs), (), (), (), (state,))
    operands = (f"${state.name}", *(f"%{i.name}" for i in inputs))
    graph = graph.with_nodes([make_node("w", "kv_append", operands, [graph.types[r] for r in operands], NO_ATTRS)])
    (group,) = fuse(graph).groups
    return GroupLowering(graph, {}, {} if seq is None else {"seq": seq}).lower(group).function


@cache
def compiled_append(state: KVState) -> Callable[..., None]:
    return compile_cpu(append_prim_func(state), lambda sch: schedule_rows(sch, 16))


@dataclass
class Rig:
    """A KV state in kernels and in the reference, fed with the same tokens; `run`: kernel under test."""

    attrs: AttendAttrs
    state: KVState
    n_heads: int
    run: Callable[..., None]
    slots: int = 1
    capacity: int = 256
    extra: tuple[Array, ...] = ()
    seed: int = 0
    buffers: list[tvm.runtime.Tensor] = field(init=False)
    cache: KVCache = field(init=False)
    lengths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        s = self.state
        rows = (self.slots, s.n_kv_heads, self.capacity)
        # Memory never written must never matter: NaN shows where it does.
        fill = 99 if s.dtype is DType.I8 else np.nan
        arrays = [np.full((*rows, d), fill, s.dtype.numpy) for d in (s.head_dim, s.v_dim)]
        if s.dtype is DType.I8:
            arrays += [np.full(rows, np.nan, np.float32) for _ in range(2)]
        self.buffers = [tvm.runtime.tensor(a) for a in arrays]
        self.cache = KVCache(s)
        self.lengths = [0] * self.slots
        self.rng = np.random.default_rng(self.seed)

    def step(self, counts: Sequence[tuple[int, int]]) -> tuple[Array, Array]:
        """Process `count` next tokens of each `(slot, count)`; the kernel's output and the reference's."""
        slots = np.concatenate([np.full(n, slot, np.int32) for slot, n in counts])
        positions = np.concatenate([np.arange(self.lengths[s], self.lengths[s] + n, dtype=np.int32) for s, n in counts])
        for slot, n in counts:
            self.lengths[slot] += n
        seq, s = len(slots), self.state
        q = self.rng.standard_normal((seq, self.n_heads, s.head_dim), np.float32)
        k = self.rng.standard_normal((seq, s.n_kv_heads, s.head_dim), np.float32)
        v = self.rng.standard_normal((seq, s.n_kv_heads, s.v_dim), np.float32)
        self.append(k, v, positions, slots)
        return self.attend(q, positions, slots)

    def append(self, k: Array, v: Array, positions: Array, slots: Array) -> None:
        compiled_append(self.state)(*self.buffers, *map(tvm.runtime.tensor, (k, v, positions, slots)))
        for t in range(len(slots)):
            self.cache.append(int(slots[t]), int(positions[t]), k[t], v[t])

    def attend(self, q: Array, positions: Array, slots: Array) -> tuple[Array, Array]:
        out = tvm.runtime.tensor(np.full((*q.shape[:2], self.state.v_dim), np.nan, np.float32))
        inputs = map(tvm.runtime.tensor, (positions, slots, *self.extra))
        self.run(tvm.runtime.tensor(q), *self.buffers, *inputs, out)
        return out.numpy(), attend(self.attrs, q.astype(np.float64), self.cache, positions, slots, *self.extra)


def error(got: Array, want: Array) -> float:
    """Largest difference relative to the largest value of the reference; infinite where NaN appears."""
    worst = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
    return float(worst) if np.isfinite(worst) else float("inf")
