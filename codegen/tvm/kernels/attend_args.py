"""Arguments of the attention kernels: buffers of a KV state, of its append and of its readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs

STATE_DTYPES = {DType.F32: "float32", DType.F16: "float16", DType.I8: "int8"}
"""Element types that a KV state may have, and TVM's names for them."""

Expr = Any  # TVM's expressions and buffers overload the operators; it carries no types that say so
Buffer = Any


def i64(value: int) -> Expr:
    """An int64 constant; every index of a kernel is int64, as its symbols are."""
    return tirx.IntImm("int64", value)


def f32(value: float) -> Expr:
    """A float32 constant."""
    return tirx.FloatImm("float32", value)


def argument(name: str, shape: tuple[Expr | int, ...], dtype: str) -> Buffer:
    """Declare the next argument of the function being built: a dense buffer, maybe a view into an arena."""
    handle = T.arg(name, T.handle())
    dims = tuple(i64(d) if isinstance(d, int) else d for d in shape)
    # offset_factor makes the kernel add the view's element offset, which it otherwise demands to be zero.
    buffer = T.match_buffer(handle, dims, dtype, offset_factor=1)
    IRBuilder.name(name, buffer)
    return buffer


def whole(buffer: Buffer) -> object:
    """The region that covers a buffer, for the reads and writes of a block."""
    return buffer[tuple(slice(i64(0), extent) for extent in buffer.shape)]


@dataclass(frozen=True)
class CacheBuffers:
    """Buffers of one KV state: k, v [slots, n_kv_heads, capacity, d]; i8: scales, without the last axis."""

    state: KVState
    capacity: Expr
    k: Buffer
    v: Buffer
    k_scales: Buffer | None
    v_scales: Buffer | None

    def index(self, position: Expr) -> Expr:
        """Where a position lies along the capacity axis: itself, or its place in the ring."""
        return cache_index(self.state, self.capacity, position)

    @property
    def regions(self) -> list[object]:
        """All of each of its buffers: which part is touched depends on data."""
        return [whole(b) for b in (self.k, self.v, self.k_scales, self.v_scales) if b is not None]


def cache_index(state: KVState, capacity: Expr, position: Expr) -> Expr:
    """Where a state of `capacity` positions keeps `position`: there, or at its place in the ring."""
    if not state.window:
        return position
    sinks = i64(state.sinks)
    wrapped = sinks + tirx.truncmod(position - sinks, capacity - sinks)
    return tirx.Select(position < sinks, position, wrapped) if state.sinks else wrapped


def cache_tensors(state: KVState) -> dict[str, tuple[tuple[Expr, ...], str]]:
    """Shape and TVM dtype of each piece of a KV state; ValueError for a type without kernels."""
    if state.dtype not in STATE_DTYPES:
        known = ", ".join(d.value for d in STATE_DTYPES)
        raise ValueError(f"KV state {state.name} has type {state.dtype.value}; kernels exist for {known}")
    dtype = STATE_DTYPES[state.dtype]
    rows = (tirx.Var("slots", "int64"), i64(state.n_kv_heads), tirx.Var("capacity", "int64"))
    codes = {"k": ((*rows, i64(state.head_dim)), dtype), "v": ((*rows, i64(state.v_dim)), dtype)}
    return codes | {"k_scales": (rows, "float32"), "v_scales": (rows, "float32")} if state.dtype is DType.I8 else codes


def declare_cache(state: KVState) -> CacheBuffers:
    """Declare the buffers of a KV state as the next arguments; ValueError for a type without kernels."""
    names = {"k": "k_cache", "v": "v_cache"}
    pieces = {p: argument(names.get(p, p), *tensor) for p, tensor in cache_tensors(state).items()}
    capacity = pieces["k"].shape[2]
    return CacheBuffers(state, capacity, pieces["k"], pieces["v"], pieces.get("k_scales"), pieces.get("v_scales"))


@dataclass(frozen=True)
class AttendArgs:
    """Everything an attention kernel reads and writes; `group` query heads share one KV head."""

    attrs: AttentionAttrs
    cache: CacheBuffers
    n_heads: int
    seq: Expr
    q: Buffer
    positions: Buffer
    slots: Buffer
    slopes: Buffer | None
    mask: Buffer | None
    out: Buffer

    @property
    def group(self) -> int:
        return self.n_heads // self.cache.state.n_kv_heads


def check_attend(attrs: AttentionAttrs, state: KVState, n_heads: int) -> None:
    """Refuse heads that do not divide and windows that the state does not hold; ValueError."""
    if n_heads % state.n_kv_heads:
        kv_heads = f"the {state.n_kv_heads} KV heads of {state.name}"
        raise ValueError(f"{n_heads} heads are not a multiple of {kv_heads}")
    if state.window and (attrs.window is None or attrs.window > state.window or attrs.sinks > state.sinks):
        raise ValueError(
            f"KV state {state.name} keeps a window of {state.window} and {state.sinks} sinks, "
            f"but attention asks for window {attrs.window} and {attrs.sinks} sinks"
        )


def declare_attend(attrs: AttentionAttrs, state: KVState, n_heads: int, seq: Expr) -> AttendArgs:
    """Declare q, the state, positions, slots, [slopes], [mask], out as the arguments, in this order."""
    check_attend(attrs, state, n_heads)
    q = argument("q", (seq, n_heads, state.head_dim), "float32")
    cache = declare_cache(state)
    positions = argument("positions", (seq,), "int32")
    slots = argument("slots", (seq,), "int32")
    slopes = argument("slopes", (n_heads,), "float32") if attrs.alibi else None
    mask = None
    if attrs.mask_block:
        rows, columns = tirx.Var("mask_rows", "int64"), tirx.Var("mask_columns", "int64")
        mask = argument("mask", (i64(n_heads), rows, columns), "uint8")
    out = argument("out", (seq, n_heads, state.v_dim), "float32")
    return AttendArgs(attrs, cache, n_heads, seq, q, positions, slots, slopes, mask, out)
