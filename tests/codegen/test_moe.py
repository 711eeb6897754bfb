"""Mixture-of-experts kernels against the op's reference function in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from linear_cases import decoded, random_weight, relative_error, run, weight_type
from tvm import s_tir
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.codegen.tvm.kernels.linear_layout import layout_for
from cosyn.codegen.tvm.kernels.moe import moe_prim_func, schedule_moe_cpu
from cosyn.codegen.tvm.kernels.packing import pack
from cosyn.ir.ops.contraction import MoeAttrs, moe


@pytest.fixture(scope="module")
def target() -> Target:
    return cpu_target(host_features(), 2)


@pytest.mark.parametrize("scheduled", [True, False])
@pytest.mark.parametrize("seq", [1, None])
@pytest.mark.parametrize(
    ("stored", "activation", "gated", "biased"),
    [("f32", "silu", True, False), ("bf16", "gelu", False, True), ("i4g32:f16", "silu", True, True),
     ("i8row:f32", "silu", True, False)],
)  # fmt: skip
def test_moe(
    stored: str, activation: str, gated: bool, biased: bool, seq: int | None, scheduled: bool, target: Target
) -> None:
    experts, d, n, choices = 5, 96, 40, 2
    attrs = MoeAttrs(activation, gated)
    kinds = (weight_type(2 * n if gated else n, d, stored, experts), weight_type(d, n, stored, experts))
    up, down = (layout_for(k) for k in kinds)
    weights = [random_weight(kind, seed) for seed, kind in enumerate(kinds)]
    function = moe_prim_func(attrs, up, down, choices, seq, up_bias=biased, down_bias=biased)
    schedule = s_tir.Schedule(function)
    if scheduled:
        schedule_moe_cpu(schedule, up, down, target)
    kernel = tvm.compile(schedule.mod, target)["main"]
    rng = np.random.default_rng(3)
    for rows in [1] if seq else [1, 3, 9]:
        x = rng.standard_normal((rows, d)).astype(np.float32) * 0.01
        mix = rng.uniform(0, 1, (rows, choices)).astype(np.float32)
        ids = np.stack([rng.permutation(experts)[:choices] for _ in range(rows)]).astype(np.int32)
        biases = [rng.standard_normal((experts, layout.n)).astype(np.float32) for layout in (up, down)]
        added = biases if biased else []
        exact = moe(attrs, x.astype(np.float64), mix, ids, *(decoded(w) for w in weights), *added)
        pieces = [a for layout, w in zip((up, down), weights, strict=True) for a in pack(layout, w).values()]
        (y,) = run(kernel, [x, mix, ids, *pieces, *added], (rows, d))
        assert relative_error(y, exact) < 1e-5
