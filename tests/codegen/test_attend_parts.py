"""Attention of one token cut along the sequence, against the reference semantics in float64."""

from __future__ import annotations

import numpy as np
import pytest
from attend_harness import Rig, compile_cpu, error

from cosyn.codegen.tvm.kernels.attend import schedule_attend_cpu
from cosyn.codegen.tvm.kernels.attend_cpu import attend_cpu_prim_func
from cosyn.codegen.tvm.kernels.attend_part import LEAST
from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttendAttrs

CONTEXTS = (1, 2, LEAST - 1, LEAST, LEAST + 1, 3 * LEAST, 1000)


def make_rig(state: KVState, group: int, threads: int, *extra: np.ndarray, **attrs: object) -> Rig:
    full = AttendAttrs(scale=state.head_dim**-0.5, n_kv_heads=state.n_kv_heads, v_dim=state.v_dim, **attrs)
    heads = group * state.n_kv_heads
    func = attend_cpu_prim_func(full, state, heads, threads=threads, seq=1)
    assert "attend_merge" in func.script()
    return Rig(full, state, heads, compile_cpu(func, schedule_attend_cpu), capacity=1024, extra=extra)


def check(rig: Rig) -> None:
    """One token at each length of the context."""
    state = rig.state
    for length in CONTEXTS:
        missing = range(rig.lengths[0], length - 1)
        k, v = (
            rig.rng.standard_normal((len(missing), state.n_kv_heads, d), np.float32)
            for d in (state.head_dim, state.v_dim)
        )
        if missing:
            rig.append(k, v, np.array(missing, np.int32), np.zeros(len(missing), np.int32))
            rig.lengths[0] = length - 1
        got, want = rig.step([(0, 1)])
        assert error(got, want) < 1e-5, length


@pytest.mark.parametrize("dtype", [DType.F32, DType.F16, DType.I8])
@pytest.mark.parametrize(
    ("kv_heads", "group", "head_dim", "threads"),
    [(1, 8, 64, 2), (1, 1, 80, 3), (3, 4, 128, 2), (2, 7, 20, 8), (1, 24, 40, 2)],
)
def test_any_heads_on_any_threads(dtype: DType, kv_heads: int, group: int, head_dim: int, threads: int) -> None:
    check(make_rig(KVState("s", kv_heads, head_dim, dtype), group, threads))


@pytest.mark.parametrize(("window", "sinks"), [(1, 0), (200, 0), (300, 5)])
@pytest.mark.parametrize("ring", [False, True])
def test_windows_and_sinks(window: int, sinks: int, ring: bool) -> None:
    state = KVState("s", 1, 16, DType.F32, window=window if ring else 0, sinks=sinks if ring else 0)
    check(make_rig(state, 4, 3, window=window, sinks=sinks))


@pytest.mark.parametrize("group", [4, 24])
def test_softcap_and_alibi(group: int) -> None:
    slopes = np.linspace(0.01, 0.5, group, dtype=np.float32)
    check(make_rig(KVState("s", 1, 32, DType.F16), group, 2, slopes, softcap=5.0, alibi=True))


def test_block_mask_that_hides_whole_parts() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (4, 32, 32), np.uint8)
    mask[0] = 0
    mask[1, :, 4:] = 0
    check(make_rig(KVState("s", 1, 32, DType.F16), 4, 4, mask, mask_block=32))


def test_no_parts_where_heads_keep_all_threads_busy() -> None:
    state, attrs = KVState("s", 4, 64, DType.F16), AttendAttrs(scale=0.125, n_kv_heads=4, v_dim=64)
    assert "attend_merge" not in attend_cpu_prim_func(attrs, state, 32, threads=2, seq=1).script()
