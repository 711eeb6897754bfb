"""Expert kernels against the ops' reference functions in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from group_harness import Chain, step
from linear_cases import Array, decoded, placeholders, random_weight, relative_error, run, weight_type
from tvm import s_tir, te, tirx
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.codegen.tvm.kernels.expert_linear import expert_linear_compute, schedule_expert_linear
from cosyn.codegen.tvm.kernels.linear import Form
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout, layout_for
from cosyn.codegen.tvm.kernels.packed_weight import i64
from cosyn.codegen.tvm.kernels.packing import pack
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops.contraction import expert_linear, mix_experts
from cosyn.ir.types import SEQ

EXPERTS, CHOICES = 5, 2


@pytest.fixture(scope="module")
def target() -> Target:
    return cpu_target(host_features(), 2)


def chosen(rows: int) -> Array:
    rng = np.random.default_rng(rows)
    return np.stack([rng.permutation(EXPERTS)[:CHOICES] for _ in range(rows)]).astype(np.int32)


def function(
    layout: PackedLayout, seq: int | None, form: Form, shared: bool, biased: bool, added: bool
) -> tirx.PrimFunc:
    """(x, ids, pieces[, bias][, addend], y)."""
    rows = tirx.Var("seq", "int64") if seq is None else i64(seq)
    lead = (rows,) if shared else (rows, i64(CHOICES))
    x = te.placeholder((*lead, i64(layout.k)), "float32", name="x")
    ids = te.placeholder((rows, i64(CHOICES)), "int32", name="ids")
    pieces = placeholders(layout)
    bias = te.placeholder((i64(EXPERTS), i64(layout.n)), "float32", name="bias") if biased else None
    y = expert_linear_compute(x, ids, pieces, layout, form, bias)
    more: Sequence[te.Tensor] = [bias] if bias is not None else []
    if added:
        addend = te.placeholder(y.shape, "float32", name="addend")
        value = y
        more = [*more, addend]
        y = te.compute(y.shape, lambda *i: value(*i) + addend(*i), name="add")
    return te.create_prim_func([x, ids, *pieces, *more, y])


@pytest.mark.parametrize("form", ["cpu", "neutral"])
@pytest.mark.parametrize("seq", [1, None])
@pytest.mark.parametrize(
    ("stored", "n", "shared", "biased", "added"),
    [("f32", 80, True, False, False), ("bf16", 40, False, True, False), ("i4g32:f16", 80, True, True, True),
     ("i4g32:f16", 40, False, False, False), ("i8row:f32", 9, False, False, True)],
)  # fmt: skip
def test_expert_linear(
    stored: str, n: int, shared: bool, biased: bool, added: bool, seq: int | None, form: Form, target: Target
) -> None:
    kind = weight_type(n, 96, stored, EXPERTS)
    layout, weight = layout_for(kind), random_weight(kind)
    schedule = s_tir.Schedule(function(layout, seq, form, shared, biased, added))
    if form != "neutral":
        schedule_expert_linear(schedule, layout, target)
    kernel = build_cpu(schedule.mod, target)["main"]
    rng = np.random.default_rng(3)
    for rows in [1] if seq else [1, 3, 9]:
        x = rng.standard_normal((rows, 96) if shared else (rows, CHOICES, 96)).astype(np.float32)
        ids, shape = chosen(rows), (rows, CHOICES, n)
        bias = [rng.standard_normal((EXPERTS, n)).astype(np.float32)] if biased else []
        addend = [rng.standard_normal(shape).astype(np.float32)] if added else []
        exact = expert_linear(NO_ATTRS, x.astype(np.float64), ids, decoded(weight), *bias) + sum(addend)
        (y,) = run(kernel, [x, ids, *pack(layout, weight).values(), *bias, *addend], shape)
        assert relative_error(y, exact) < 1e-5


def test_refuses_what_does_not_fit() -> None:
    layout = layout_for(weight_type(8, 16, "f32"))
    x, ids = te.placeholder((3, 16), "float32"), te.placeholder((3, 2), "int32")
    with pytest.raises(ValueError, match="a weight of rank 3, found x float32"):
        expert_linear_compute(x, ids, placeholders(layout), layout)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(1, 64), (5, 12)])
def test_mixing_fuses_with_a_residual(rows: int, columns: int, static: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 3, columns)).astype(np.float32)
    weights = rng.uniform(0, 1, (rows, 3)).astype(np.float32)
    residual = rng.standard_normal((rows, columns)).astype(np.float32)
    chain = Chain(
        {"%x": x, "%w": weights, "%r": residual},
        [step("m", "mix_experts", "%x", "%w"), step("y", "add", "%m", "%r")],
        rows if static else SEQ,
    )
    (y,) = chain.compiled(["%y"], static=static)
    assert relative_error(y, mix_experts(NO_ATTRS, x.astype(np.float64), weights) + residual) < 1e-6
