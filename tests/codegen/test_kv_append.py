"""kv_append against the reference quantization, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from attend_harness import compile_cpu

from cosyn.codegen.tvm.kernels.kv_append import kv_append_prim_func, schedule_kv_append_cpu
from cosyn.ir.dtype import DType
from cosyn.ir.graph import KVState
from cosyn.ir.node import NoAttrs
from cosyn.ir.ops.row import quantize_rows


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
    compile_cpu(kv_append_prim_func(state), schedule_kv_append_cpu)(*tensors)
    for t, p in enumerate(positions):
        index = sinks + (p - sinks) % (capacity - sinks) if window and p >= sinks else p
        for x, stored in ((k, 0), (v, 1)):
            got = tensors[stored].numpy()
            if dtype is DType.I8:
                codes, scale = quantize_rows(NoAttrs(), x[t])
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
    compile_cpu(kv_append_prim_func(KVState("s", 1, 6, DType.I8)), schedule_kv_append_cpu)(*tensors)
    assert tensors[0].numpy().ravel().tolist() == [127, 0, 2, 2, 0, -2]


def test_fixed_number_of_tokens() -> None:
    func = kv_append_prim_func(KVState("s", 1, 6, DType.F32), seq=1)
    assert [int(d) for d in func.params[2].shape] == [1, 1, 6]
