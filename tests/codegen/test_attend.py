"""Attention kernels against the reference semantics in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import tvm
from attend_harness import Rig, append_prim_func, compile_cpu, error
from tvm import s_tir, tirx
from tvm.target import Target

from cosyn.codegen.tvm.kernels.attend import attend_prim_func, schedule_attend_cpu, schedule_attend_gpu
from cosyn.codegen.tvm.kernels.attend_cpu import attend_cpu_prim_func
from cosyn.codegen.tvm.schedule_gpu import schedule_gpu
from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttendAttrs

FORMS = {"neutral": attend_prim_func, "cpu": attend_cpu_prim_func}
TOLERANCE = 1e-5
"""The reference quantizes its state like the kernel, so only f32 arithmetic differs, whatever the type."""


@cache
def kernel(form: str, attrs: AttendAttrs, state: KVState, n_heads: int) -> Callable[..., None]:
    return compile_cpu(FORMS[form](attrs, state, n_heads), schedule_attend_cpu)


def make_rig(form: str, n_heads: int, state: KVState, *, slots: int = 1, capacity: int = 256,
             extra: tuple[np.ndarray, ...] = (), **attrs: object) -> Rig:  # fmt: skip
    full = AttendAttrs(scale=state.head_dim**-0.5, n_kv_heads=state.n_kv_heads, v_dim=state.v_dim, **attrs)
    return Rig(full, state, n_heads, kernel(form, full, state, n_heads), slots, capacity, extra)


def check(rig: Rig, *steps: list[tuple[int, int]]) -> None:
    for counts in steps:
        got, want = rig.step(counts)
        assert error(got, want) < TOLERANCE, f"step {counts} at lengths {rig.lengths}"


# Every pair of type, head size and group size occurs.
SIZES = [
    (dtype, head_dim, (1, 4, 8)[(i + j) % 3])
    for i, dtype in enumerate((DType.F32, DType.F16, DType.I8))
    for j, head_dim in enumerate((8, 64, 80, 128))
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "head_dim", "group"), SIZES)
def test_every_size(form: str, dtype: DType, head_dim: int, group: int) -> None:
    rig = make_rig(form, 2 * group, KVState("s", 2, head_dim, dtype))
    check(rig, [(0, 1)], [(0, 3)], [(0, 3)], [(0, 33)], [(0, 1)], [(0, 159)], [(0, 1)], [(0, 33)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("group", [1, 4, 7])
def test_slots_at_different_positions(form: str, group: int) -> None:
    rig = make_rig(form, 3 * group, KVState("s", 3, 16, DType.F32), slots=4)
    check(
        rig,
        [(0, 5), (2, 33)],
        [(0, 1), (1, 7), (2, 1), (3, 2)],
        [(3, 1), (2, 1), (1, 1), (0, 1)],
        [(1, 40), (0, 1)],
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [DType.F32, DType.I8])
@pytest.mark.parametrize(("window", "sinks"), [(1, 0), (12, 0), (12, 3), (40, 4)])
def test_ring_after_it_has_wrapped(form: str, dtype: DType, window: int, sinks: int) -> None:
    state = KVState("s", 2, 16, dtype, window=window, sinks=sinks)
    rig = make_rig(form, 4, state, slots=2, capacity=window + 33 - 1 + sinks, window=window, sinks=sinks)
    check(
        rig,
        [(0, 1)],
        [(0, 1)],
        [(0, 33)],
        [(1, 33)],
        [(0, 20), (1, 13)],
        *[[(0, 1), (1, 2)]] * 25,
        [(0, 33)],
        [(1, 33)],
    )


@pytest.mark.parametrize("form", FORMS)
def test_window_over_a_contiguous_state(form: str) -> None:
    check(make_rig(form, 4, KVState("s", 2, 16, DType.F32), window=9, sinks=2), [(0, 33)], [(0, 1)], [(0, 50)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_heads", [2, 8])
def test_alibi_and_softcap(form: str, n_heads: int) -> None:
    slopes = 2.0 ** -np.arange(1, n_heads + 1, dtype=np.float32)
    check(
        make_rig(form, n_heads, KVState("s", 2, 16, DType.F32), extra=(slopes,), alibi=True),
        [(0, 33)],
        [(0, 1)],
        [(0, 90)],
    )
    check(make_rig(form, n_heads, KVState("s", 2, 16, DType.F32), softcap=2.5), [(0, 33)], [(0, 1)], [(0, 90)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_heads", [2, 8])
@pytest.mark.parametrize("block", [4, 16, 32])
def test_blocks_that_the_mask_hides_are_not_read(form: str, n_heads: int, block: int) -> None:
    rows = -(-256 // block)
    mask = np.random.default_rng(1).integers(0, 2, (n_heads, rows, rows)).astype(np.uint8)
    mask[:, :, 1] = 0  # seen by nobody
    mask[:, 2, :] = 0  # sees nothing
    rig = make_rig(form, n_heads, KVState("s", 2, 16, DType.F32), extra=(mask,), mask_block=block)
    rig.step([(0, 256 - 64)])
    poisoned = [b.numpy().copy() for b in rig.buffers]
    for buffer, values in zip(rig.buffers, poisoned, strict=True):
        values[:, :, block : 2 * block] = np.nan
        buffer.copyfrom(values)
    check(rig, [(0, 1)], [(0, 33)], [(0, 1)])


@pytest.mark.parametrize("form", FORMS)
def test_token_that_sees_nothing_gets_zeros(form: str) -> None:
    mask = np.zeros((2, 4, 4), np.uint8)
    got, _ = make_rig(form, 2, KVState("s", 2, 16, DType.F32), extra=(mask,), mask_block=64).step([(0, 5)])
    assert not got.any()


@pytest.mark.parametrize("form", FORMS)
def test_value_rows_of_another_width(form: str) -> None:
    check(make_rig(form, 4, KVState("s", 2, 24, DType.F16, value_dim=16)), [(0, 20)], [(0, 1)])


@pytest.mark.parametrize("form", FORMS)
def test_large_scores_do_not_overflow(form: str) -> None:
    rig = make_rig(form, 2, KVState("s", 2, 16, DType.F32))
    rig.attrs = AttendAttrs(scale=60.0, n_kv_heads=2, v_dim=16)
    rig.run = kernel(form, rig.attrs, rig.state, 2)
    # Rounding of scores near 1000 moves the weights by 1e-4.
    got, want = rig.step([(0, 70)])
    assert error(got, want) < 1e-3


@pytest.mark.parametrize(("lanes", "group"), [(8, 1), (8, 4), (4, 4), (1, 2), (16, 24), (16, 71)])
def test_vector_width_and_wide_groups(lanes: int, group: int) -> None:
    state = KVState("s", 1, 40, DType.F16)
    attrs = AttendAttrs(scale=0.2, n_kv_heads=1, v_dim=40)
    func = attend_cpu_prim_func(attrs, state, group, lanes=lanes)
    check(
        Rig(attrs, state, group, compile_cpu(func, schedule_attend_cpu)),
        [(0, 33)],
        [(0, 1)],
        [(0, 70)],
        [(0, 1)],
    )


@pytest.mark.parametrize("build", FORMS.values(), ids=list(FORMS))
def test_one_token_fixed_at_compile_time(build: Callable[..., tirx.PrimFunc]) -> None:
    state, attrs = KVState("s", 2, 16, DType.F32), AttendAttrs(scale=0.2, n_kv_heads=2, v_dim=16)
    check(
        Rig(attrs, state, 4, compile_cpu(build(attrs, state, 4, seq=1), schedule_attend_cpu)),
        *[[(0, 1)]] * 20,
    )


def test_unscheduled_function_runs() -> None:
    state, attrs = KVState("s", 2, 16, DType.F32), AttendAttrs(scale=0.2, n_kv_heads=2, v_dim=16)
    check(Rig(attrs, state, 4, compile_cpu(attend_prim_func(attrs, state, 4), None)), [(0, 9)], [(0, 1)])


def test_f16_is_converted_by_vector_instructions() -> None:
    state, attrs = KVState("s", 2, 64, DType.F16), AttendAttrs(scale=0.125, n_kv_heads=2, v_dim=64)
    sch = s_tir.Schedule(attend_cpu_prim_func(attrs, state, 4))
    schedule_attend_cpu(sch)
    target = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v4"}
    assembly = tvm.compile(sch.mod, target).mod.inspect_source("asm")
    converts = [line.split() for line in assembly.splitlines() if "vcvtph2ps" in line]
    assert converts
    assert all("%zmm" in line[-1] for line in converts)
    assert "expf" not in assembly


@pytest.mark.parametrize("kind", ["opencl", "cuda"])
def test_gpu_source(kind: str) -> None:
    state = KVState("s", 2, 64, DType.I8, window=8, sinks=2)
    extra = {"softcap": 30.0, "alibi": True, "mask_block": 4}
    attrs = AttendAttrs(scale=0.125, window=8, sinks=2, n_kv_heads=2, v_dim=64, **extra)
    target = Target({"kind": kind, "host": {"kind": "llvm"}} | ({"arch": "sm_90"} if kind == "cuda" else {}))
    sch = s_tir.Schedule(attend_prim_func(attrs, state, 8))
    schedule_attend_gpu(sch)
    for func in (sch.mod["main"], schedule_gpu(append_prim_func(state), 256)):
        with target:
            source = tvm.compile(tvm.IRModule({"main": func}), target).mod.imports[0].inspect_source()
        assert ("get_group_id" if kind == "opencl" else "blockIdx.x") in source
        # OpenCL C has no nearbyint.
        assert ("nearbyint(" in source) <= (kind == "cuda")


def test_refusals() -> None:
    with pytest.raises(ValueError, match="5 heads are not a multiple of the 2 KV heads of s"):
        attend_prim_func(AttendAttrs(1.0), KVState("s", 2, 16, DType.F32), 5)
    with pytest.raises(ValueError, match="keeps a window of 8 and 0 sinks, but attention asks for window 9"):
        attend_prim_func(AttendAttrs(1.0, window=9), KVState("s", 2, 16, DType.F32, window=8), 2)
    with pytest.raises(ValueError, match="KV state s has type bf16; kernels exist for f32, f16, i8"):
        attend_prim_func(AttendAttrs(1.0), KVState("s", 2, 16, DType.BF16), 2)
