"""kv_append against the reference quantization, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from attend_harness import append_prim_func, compile_cpu, compiled_append
from tvm import s_tir, tirx
from tvm.target import Target

from cosyn.codegen.tvm.device_kernels import KernelCall, split_kernels
from cosyn.codegen.tvm.lower_group import GroupLowering, LoweredGroup
from cosyn.codegen.tvm.schedule_gpu import schedule_gpu
from cosyn.codegen.tvm.schedule_rows_cpu import schedule_rows
from cosyn.codegen.tvm.vector_math import with_vector_math
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, KVState
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops.attention import RopeAttrs, rope
from cosyn.ir.ops.row import quantize_rows
from cosyn.ir.parser import parse
from cosyn.passes.fuse import Group, fuse


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16, DType.I8])
@pytest.mark.parametrize("head_dim", [1, 8, 80, 128])
@pytest.mark.parametrize("seq", [1, 33])
@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (8, 0), (8, 3)])
def test_rows_land_at_their_place(dtype: DType, head_dim: int, seq: int, window: int, sinks: int) -> None:
    state = KVState("s", 3, head_dim, dtype, window=window, sinks=sinks)
    capacity = window + seq - 1 + sinks if window else 64
    rng = np.random.default_rng(0)
    k, v = rng.standard_normal((2, seq, 3, head_dim), np.float32)
    k[0, 1] = 0  # a row of zeros has scale 0
    positions = np.arange(17, 17 + seq, dtype=np.int32)
    slots = np.full(seq, 1, np.int32)
    caches = [np.zeros((2, 3, capacity, head_dim), dtype.numpy) for _ in "kv"]
    scales = [np.zeros((2, 3, capacity), np.float32) for _ in "kv"] if dtype is DType.I8 else []
    tensors = [tvm.runtime.tensor(a) for a in (*caches, *scales, k, v, positions, slots)]
    compiled_append(state)(*tensors)
    for t, p in enumerate(positions):
        index = sinks + (p - sinks) % (capacity - sinks) if window and p >= sinks else p
        for x, stored in ((k, 0), (v, 1)):
            got = tensors[stored].numpy()
            if dtype is DType.I8:
                codes, scale = quantize_rows(NO_ATTRS, x[t])
                np.testing.assert_array_equal(got[1, :, index], codes)
                np.testing.assert_array_equal(tensors[2 + stored].numpy()[1, :, index], scale[:, 0])
            else:
                np.testing.assert_array_equal(got[1, :, index], x[t].astype(dtype.numpy))
            assert not got[0].any(), "another slot was written"


def test_ties_round_to_even() -> None:
    k = np.array([[[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]]], np.float32)
    tensors = [tvm.runtime.tensor(a) for a in (
        np.zeros((1, 1, 1, 6), np.int8), np.zeros((1, 1, 1, 6), np.int8), np.zeros((1, 1, 1), np.float32),
        np.zeros((1, 1, 1), np.float32), k, k, np.zeros(1, np.int32), np.zeros(1, np.int32))]  # fmt: skip
    compiled_append(KVState("s", 1, 6, DType.I8))(*tensors)
    assert tensors[0].numpy().ravel().tolist() == [127, 0, 2, 2, 0, -2]


def test_fixed_number_of_tokens() -> None:
    func = append_prim_func(KVState("s", 1, 6, DType.F32), seq=1)
    assert [int(d) for d in func.params[2].shape] == [1, 1, 6]


GROUP = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, {columns}]
input %positions : i32[seq]
input %slots : i32[seq]
weight @f : f32[{half}] from "f"
state $s {{n_kv_heads=2, head_dim={head}, dtype={dtype}, value_dim={value}, window={window}, sinks={sinks}}}
%q = slice(%x) {{axis=1, start=0, stop={k_start}}} : f32[seq, {k_start}]
%k = slice(%x) {{axis=1, start={k_start}, stop={v_start}}} : f32[seq, {k_width}]
%v = slice(%x) {{axis=1, start={v_start}, stop={columns}}} : f32[seq, {v_width}]
%qh = reshape(%q) {{shape=[seq, 3, {head}]}} : f32[seq, 3, {head}]
%kh = reshape(%k) {{shape=[seq, 2, {head}]}} : f32[seq, 2, {head}]
%vh = reshape(%v) {{shape=[seq, 2, {value}]}} : f32[seq, 2, {value}]
%qr = rope(%qh, %positions, @f) {{rotary_dim={rotary}}} : f32[seq, 3, {head}]
%kr = rope(%kh, %positions, @f) {{rotary_dim={rotary}}} : f32[seq, 2, {head}]
%w = kv_append($s, %kr, %vh, %positions, %slots) : state
%a = attend(%qr, %w, %positions, %slots) {{scale=0.5, n_kv_heads=2, v_dim={value}}} : f32[seq, 3, {value}]
return %a
"""


def rotary_group(
    head: int, rotary: int, value: int, dtype: str, window: int = 0, sinks: int = 0
) -> tuple[Graph, Group]:
    """Queries, keys and values cut from one product, rotated and stored, as the one group that they are."""
    k_start, k_width, v_width = 3 * head, 2 * head, 2 * value
    graph = parse(GROUP.format(
        head=head, rotary=rotary, half=rotary // 2, value=value, dtype=dtype, window=window, sinks=sinks,
        k_start=k_start, k_width=k_width, v_start=k_start + k_width, v_width=v_width,
        columns=k_start + k_width + v_width,
    ))  # fmt: skip
    appends = [g for g in fuse(graph).groups if g.kind == "kv_append"]
    (group,) = appends
    assert group.outputs == ("%qr", "%w")
    return graph, group


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16, DType.I8])
@pytest.mark.parametrize(("head", "rotary", "value"), [(8, 8, 8), (10, 4, 7), (64, 64, 64), (80, 20, 16)])
@pytest.mark.parametrize("seq", [1, 33])
@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (8, 3)])
def test_rotation_and_append_in_one_kernel(
    dtype: DType, head: int, rotary: int, value: int, seq: int, window: int, sinks: int
) -> None:
    graph, group = rotary_group(head, rotary, value, dtype.value, window, sinks)
    capacity = window + seq - 1 + sinks if window else 64
    rng = np.random.default_rng(0)
    x = rng.standard_normal((seq, 3 * head + 2 * head + 2 * value), np.float32)
    x[0, 5 * head :] = 0  # a row of zeros has scale 0
    freq = (10000.0 ** (-np.arange(rotary // 2) / (rotary // 2))).astype(np.float32)
    positions, slots = np.arange(17, 17 + seq, dtype=np.int32), np.full(seq, 1, np.int32)
    given = {"%x": x, "%positions": positions, "%slots": slots, "@f": freq, "%qr": np.zeros((seq, 3, head), np.float32)}
    for piece, width in (("k", head), ("v", value)):
        given[f"$s:{piece}"] = np.zeros((2, 2, capacity, width), dtype.numpy)
        given[f"$s:{piece}_scales"] = np.zeros((2, 2, capacity), np.float32)
    lowered = GroupLowering(graph, {}, {"seq": 1} if seq == 1 else {}).lower(group)
    names = [*map(str, lowered.arguments), *lowered.results]
    found = {name: tvm.runtime.tensor(given[name]) for name in names}
    kernel = with_vector_math(scheduled_rows(lowered.function))
    compile_cpu(kernel, None)(*found.values())

    attrs = RopeAttrs(rotary)
    k, v = x[:, 3 * head : 5 * head].reshape(seq, 2, head), x[:, 5 * head :].reshape(seq, 2, value)
    turned = [rope(attrs, y.astype(np.float64), positions, freq) for y in (x[:, : 3 * head].reshape(seq, 3, head), k)]
    np.testing.assert_allclose(found["%qr"].numpy(), turned[0], atol=2e-5)
    bound = 2e-5 if dtype is DType.F32 else 2e-3 if dtype is DType.F16 else 2e-5
    for t, p in enumerate(positions):
        index = sinks + (p - sinks) % (capacity - sinks) if window and p >= sinks else p
        for piece, rows in (("k", turned[1]), ("v", v)):
            got = found[f"$s:{piece}"].numpy()
            assert not got[0].any(), "another slot was written"
            if dtype is not DType.I8:
                np.testing.assert_allclose(got[1, :, index], rows[t], atol=bound)
                continue
            codes, scale = quantize_rows(NO_ATTRS, rows[t])
            # A value on the edge between two codes may fall to either side.
            assert np.abs(got[1, :, index].astype(int) - codes).max() <= 1
            assert np.mean(got[1, :, index] != codes) < 0.1
            np.testing.assert_allclose(found[f"$s:{piece}_scales"].numpy()[1, :, index], scale[:, 0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_keys_that_others_read_are_results_too(dtype: str) -> None:
    graph = rotary_group(8, 8, 8, dtype)[0]
    graph = replace(graph, outputs=(*graph.outputs, "%kr"))
    (group,) = [g for g in fuse(graph).groups if g.kind == "kv_append"]
    lowered = GroupLowering(graph, {}, {}).lower(group)
    assert lowered.results == ("%qr", "%kr")
    x = np.random.default_rng(1).standard_normal((5, 56), np.float32)
    positions, freq = np.arange(5, dtype=np.int32), np.array([1, 0.1, 0.01, 0.001], np.float32)
    given = {"%x": x, "%positions": positions, "%slots": np.zeros(5, np.int32), "@f": freq}
    cache = np.zeros((1, 2, 9, 8), DType(dtype).numpy)
    given |= {"$s:k": cache, "$s:v": cache.copy()}
    given |= {f"$s:{p}_scales": np.zeros((1, 2, 9), np.float32) for p in "kv"}
    given |= {"%qr": np.zeros((5, 3, 8), np.float32), "%kr": np.zeros((5, 2, 8), np.float32)}
    found = {n: tvm.runtime.tensor(given[n]) for n in [*map(str, lowered.arguments), *lowered.results]}
    compile_cpu(with_vector_math(scheduled_rows(lowered.function)), None)(*found.values())
    keys = rope(RopeAttrs(8), x[:, 24:40].reshape(5, 2, 8).astype(np.float64), positions, freq)
    np.testing.assert_allclose(found["%kr"].numpy(), keys, atol=2e-5)
    stored = found["$s:k"].numpy()[0, :, :5].astype(np.float64)
    if dtype == "i8":
        stored *= found["$s:k_scales"].numpy()[0, :, :5, None]
    bound = {"f32": 2e-5, "f16": 2e-3, "i8": 2e-2}[dtype]
    np.testing.assert_allclose(stored.transpose(1, 0, 2), keys, atol=bound)
    # A thread of a GPU must not read what another wrote: each result has a kernel that makes its own keys.
    target = Target({"kind": "opencl", "max_num_threads": 256, "host": {"kind": "c"}})
    split_kernels({"f": schedule_gpu(lowered.function, 256)}, target)


def scheduled_rows(function: tirx.PrimFunc) -> tirx.PrimFunc:
    schedule = s_tir.Schedule(function)
    schedule_rows(schedule, 16)
    return schedule.mod["main"]


def test_queries_and_keys_share_the_sines_and_cosines() -> None:
    lowered = lowered_pair("f16")
    text = scheduled_rows(lowered.function).script()
    assert text.count('T.sblock("rope_cos') == text.count('T.sblock("rope_sin') == 1
    # Slices and reshapes are where the product is read, not copies.
    assert "slice" not in text
    assert "reshape" not in text


def test_one_token_is_turned_and_stored_in_vectors() -> None:
    kernel = with_vector_math(scheduled_rows(lowered_pair("f16").function))
    target = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v4"}
    assembly = tvm.compile(tvm.IRModule({"main": kernel}), target).mod.inspect_source("asm")
    narrowing = [line for line in assembly.splitlines() if "vcvtps2ph" in line]
    assert narrowing
    assert all("%zmm" in line for line in narrowing)
    assert "sinf" not in assembly


def lowered_pair(dtype: str) -> LoweredGroup:
    """The group of one token and heads of 64."""
    graph, group = rotary_group(64, 64, 64, dtype)
    return GroupLowering(graph, {}, {"seq": 1}).lower(group)


@pytest.mark.parametrize(("dtype", "kernels"), [("f32", 3), ("f16", 3), ("i8", 3)])
def test_gpu_kernels(dtype: str, kernels: int) -> None:
    """The queries, the keys and the values; codes and scales of a row come from one block of threads."""
    target = Target({"kind": "opencl", "max_num_threads": 256, "host": {"kind": "c"}})
    function = split_kernels({"f": schedule_gpu(lowered_pair(dtype).function, 256)}, target).functions["f"]
    assert sum(isinstance(s, KernelCall) for s in function.steps) == kernels
