"""The bandwidth kernel reads every element."""

from __future__ import annotations

import numpy as np
import tvm

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.codegen.tvm.kernels.read_bandwidth import GRANULE, read_bandwidth_prim_func


def test_it_sums_whole_granules() -> None:
    target = cpu_target(host_features(), 2)
    module = tvm.IRModule({"read_bandwidth": read_bandwidth_prim_func()})
    kernel = tvm.compile(module, target)["read_bandwidth"]
    data = np.arange(3 * GRANULE + 5, dtype=np.float32) % 97
    total = tvm.runtime.tensor(np.zeros(1, np.float32))
    kernel(tvm.runtime.tensor(data), total)
    assert total.numpy()[0] == data[: 3 * GRANULE].sum(dtype=np.float64)
