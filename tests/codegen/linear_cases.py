"""Random weights of every format, and linear kernels built and run on this machine, for the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from tvm import s_tir, te, tirx
from tvm.target import Target

from cosyn.codegen.tvm.cpu_target import cpu_target, has_vnni, host_features
from cosyn.codegen.tvm.kernels.linear import Form, linear_compute, linear_i8_compute
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows, chosen_by_rows
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout, layout_for
from cosyn.codegen.tvm.kernels.linear_schedule_cpu import schedule_linear
from cosyn.codegen.tvm.kernels.packed_weight import i64
from cosyn.codegen.tvm.kernels.packing import Weight, as_stored, pack
from cosyn.codegen.tvm.kernels.row_forms import RowForms, row_forms
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.ir.dtype import DType
from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import QuantizedWeight, WeightFormat
from cosyn.passes.rtn import quantize_rtn

Array = npt.NDArray[Any]
Epilogue = Callable[[te.Tensor], tuple[Sequence[te.Tensor], Sequence[te.Tensor]]]


def vnni_target() -> Target:
    """This machine as a target with AVX-512 VNNI; skips the test where it has none."""
    made = cpu_target(host_features(), 2)
    if not has_vnni(made):
        pytest.skip("this machine has no AVX-512 VNNI")
    return made


def weight_type(n: int, k: int, stored: str, experts: int = 0) -> TensorType:
    """`stored` is f32, f16, bf16 or a format such as i4g32:f16; a group that does not divide k shrinks."""
    shape = (experts, n, k) if experts else (n, k)
    if ":" not in stored:
        return TensorType(shape, DType(stored))
    fmt = WeightFormat.parse(stored)
    if fmt.group_size and k % fmt.group_size and not fmt.integer_scales:
        fits = [d for d in range(4, fmt.group_size, 4) if k % d == 0]
        fmt = WeightFormat(fmt.bits, max(fits, default=0), fmt.symmetric, fmt.scale_dtype)
    return TensorType(shape, DType.F32, fmt)


def random_weight(kind: TensorType, seed: int = 0) -> Weight:
    """Weights that use every code of their format."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(d) for d in kind.shape)  # type: ignore[arg-type]  # static
    fmt = kind.format
    if fmt is None:
        return rng.standard_normal(shape).astype(kind.dtype.numpy)
    if fmt.integer_scales:
        return quantize_rtn(rng.standard_normal(shape).astype(np.float32), fmt)
    codes = rng.integers(fmt.low, fmt.high + 1, shape).astype(np.int8 if fmt.symmetric else np.uint8)
    groups = (*shape[:-1], shape[-1] // fmt.group(shape[-1]))
    scales = rng.uniform(0.5, 1.0, groups).astype(fmt.scale_dtype.numpy)
    zeros = None if fmt.symmetric else rng.integers(fmt.low, fmt.high + 1, groups).astype(np.uint8)
    return QuantizedWeight(fmt, codes, scales, zeros)


def decoded(weight: Weight) -> npt.NDArray[np.float64]:
    """The real numbers that a weight stands for."""
    return weight.decode(np.float64) if isinstance(weight, QuantizedWeight) else weight.astype(np.float64)


def placeholders(layout: PackedLayout) -> list[te.Tensor]:
    """One tensor per piece."""
    return [te.placeholder([i64(d) for d in p.shape], p.dtype, name=p.name) for p in layout.pieces]


def build(
    layout: PackedLayout,
    seq: int | None,
    target: Target,
    epilogue: Epilogue | None = None,
    form: Form = "cpu",
    choice: KernelChoice = DEFAULT_KERNEL_CHOICE,
) -> Any:
    """The compiled function (x[, x scales], pieces…, epilogue operands…, results…)."""
    function = lower(layout, seq, target, epilogue, form, choice)
    return build_cpu(tvm.IRModule({"main": function}), target)["main"]


def lower(
    layout: PackedLayout,
    seq: int | None,
    target: Target,
    epilogue: Epilogue | None = None,
    form: Form = "cpu",
    choice: KernelChoice = DEFAULT_KERNEL_CHOICE,
) -> tirx.PrimFunc:
    """The scheduled function that `build` compiles."""
    rows = tirx.Var("seq", "int64") if seq is None else i64(seq)
    pieces = placeholders(layout)
    x = te.placeholder((rows, i64(layout.k)), "int8" if layout.activation == "int8" else "float32", name="x")
    scales = te.placeholder((rows, i64(1)), "float32", name="x_scales")

    def scheduled(few: FewRows | None) -> tirx.PrimFunc:
        if layout.activation == "int8":
            y = linear_i8_compute(x, scales, pieces, layout, form, choice=choice.many_rows, few=few)
        else:
            y = linear_compute(x, pieces, layout, form, choice=choice.many_rows, few=few)
        more, results = epilogue(y) if epilogue else ((), (y,))
        inputs = [x, scales] if layout.activation == "int8" else [x]
        function = te.create_prim_func([*inputs, *pieces, *more, *results])
        schedule = s_tir.Schedule(function)
        if form != "neutral":
            schedule_linear(schedule, layout, seq, target, choice.few_rows, choice.many_rows, few)
        return schedule.mod["main"]

    forms = row_forms(layout, form) if seq is None else RowForms()
    return chosen_by_rows(scheduled(forms.many), [(most, scheduled(few)) for most, few in forms.few])


def run(function: Any, arrays: Sequence[Array], *shapes: tuple[int, ...]) -> list[Array]:
    """Call with the arrays; the f32 results of the given shapes, which start as NaN."""
    results = [tvm.runtime.tensor(np.full(s, np.nan, np.float32)) for s in shapes]
    function(*[tvm.runtime.tensor(a) for a in arrays], *results)
    return [r.numpy() for r in results]


class Case:
    """A random weight, packed, with the kernel's answer and the exact one for random activations."""

    def __init__(self, n: int, k: int, stored: str, activation: str = "float") -> None:
        kind = weight_type(n, k, stored)
        self.layout = layout_for(kind, "int8" if activation == "int8" else "float")
        self.weight = random_weight(kind)
        stored = as_stored(self.layout, self.weight) if isinstance(self.weight, QuantizedWeight) else self.weight
        self.pieces = pack(self.layout, stored)

    def inputs(self, rows: int) -> tuple[list[Array], npt.NDArray[np.float64]]:
        """Kernel inputs for `rows` tokens, pieces included, and the result in float64."""
        rng = np.random.default_rng(rows)
        if self.layout.activation == "int8":
            x = rng.integers(-127, 128, (rows, self.layout.k)).astype(np.int8)
            scales = rng.uniform(0.01, 1.0, (rows, 1)).astype(np.float32)
            exact = x.astype(np.float64) @ decoded(self.weight).T * scales
            return [x, scales, *self.pieces.values()], exact
        x = rng.standard_normal((rows, self.layout.k)).astype(np.float32)
        return [x, *self.pieces.values()], x.astype(np.float64) @ decoded(self.weight).T


def rounding_error(y: Array, x: Array, case: Case) -> float:
    """Largest difference of y `[rows, n]` from x · weightᵀ, over what x in 16 bits may change that result by.

    x is rounded by up to half of a step of its group's integers; sums in f32 lose digits besides.
    """
    size, weight = case.layout.chunk, decoded(case.weight)
    exact = x.astype(np.float64)
    steps = np.repeat(np.abs(exact).reshape(len(x), -1, size).max(-1), size, 1) / 32639
    allowed = (steps / 2 + 1e-6 * np.abs(exact)) @ np.abs(weight).T
    return float((np.abs(y - exact @ weight.T) / np.maximum(allowed, 1e-30)).max())


def relative_error(found: Array, exact: Array) -> float:
    """Largest difference over the largest exact magnitude; NaN counts as infinite."""
    error = np.abs(found - exact).max() / max(np.abs(exact).max(), 1e-30)
    return float("inf") if np.isnan(error) else float(error)
