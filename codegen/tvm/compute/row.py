"""Row reductions as tensor expressions."""

from __future__ import annotations

from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.compute.stage import Stage, StageBuilder, load_float
from cosyn.ir.ops.row import NormAttrs

Expr = Any


def _columns(x: te.Tensor) -> te.IterVar:
    return te.reduce_axis((tirx.IntImm("int64", 0), x.shape[-1]), name="k")


def _zero() -> Expr:
    return tirx.IntImm("int64", 0)


def _mean(x: te.Tensor, name: str, value: Any) -> te.Tensor:
    """Mean over the last axis of value(x[..., k])."""
    k = _columns(x)
    total = te.compute(x.shape[:-1], lambda *i: te.sum(value(x(*i, k), i), axis=k), name=f"{name}_sum")
    count = tirx.const(float(int(x.shape[-1])), "float32")
    return te.compute(x.shape[:-1], lambda *i: total(*i) / count, name=name)


def _rms_norm(stage: Stage) -> list[te.Tensor]:
    attrs = stage.node.attrs
    assert isinstance(attrs, NormAttrs)
    x, *affine = stage.operands
    square = _mean(x, "mean_square", lambda v, _i: v * v)
    # Once per row: divisions and roots cost as much as ten other operations.
    inverse = te.compute(
        square.shape, lambda *i: stage.const(1.0) / tirx.sqrt(square(*i) + stage.const(attrs.eps)), name="inverse_rms"
    )

    def at(*i: Expr) -> Expr:
        y = x(*i) * inverse(*i[:-1])
        return y * load_float(affine[0](i[-1]), affine[0].dtype) if affine else y

    return [te.compute(stage.shape, at, name="rms_norm")]


def _layer_norm(stage: Stage) -> list[te.Tensor]:
    attrs = stage.node.attrs
    assert isinstance(attrs, NormAttrs)
    x, *affine = stage.operands
    mean = _mean(x, "mean", lambda v, _i: v)
    # Two passes: the difference of means of squares loses the variance of rows far from zero.
    variance = _mean(x, "variance", lambda v, i: (v - mean(*i)) * (v - mean(*i)))
    inverse = te.compute(
        mean.shape, lambda *i: stage.const(1.0) / tirx.sqrt(variance(*i) + stage.const(attrs.eps)), name="inverse_std"
    )

    def at(*i: Expr) -> Expr:
        y = (x(*i) - mean(*i[:-1])) * inverse(*i[:-1])
        if affine:
            y = y * load_float(affine[0](i[-1]), affine[0].dtype)
        return y + load_float(affine[1](i[-1]), affine[1].dtype) if len(affine) > 1 else y

    return [te.compute(stage.shape, at, name="layer_norm")]


def _softmax(stage: Stage) -> list[te.Tensor]:
    x = stage.operands[0]
    k, j = _columns(x), _columns(x)
    top = te.compute(x.shape[:-1], lambda *i: te.max(x(*i, k), axis=k), name="row_max")
    total = te.compute(x.shape[:-1], lambda *i: te.sum(tirx.exp(x(*i, j) - top(*i)), axis=j), name="exp_sum")
    inverse = te.compute(total.shape, lambda *i: stage.const(1.0) / total(*i), name="inverse_sum")
    return [te.compute(stage.shape, lambda *i: tirx.exp(x(*i) - top(*i[:-1])) * inverse(*i[:-1]), name="softmax")]


def _kept(stage: Stage, reduced: te.Tensor) -> list[te.Tensor]:
    return [te.compute(stage.shape, lambda *i: reduced(*i[:-1]), name=stage.node.op)]


def _sum(stage: Stage) -> list[te.Tensor]:
    x = stage.operands[0]
    k = _columns(x)
    return _kept(stage, te.compute(x.shape[:-1], lambda *i: te.sum(x(*i, k), axis=k), name="row_sum"))


def _max(stage: Stage) -> list[te.Tensor]:
    x = stage.operands[0]
    k = _columns(x)
    return _kept(stage, te.compute(x.shape[:-1], lambda *i: te.max(x(*i, k), axis=k), name="row_max"))


def _mean_op(stage: Stage) -> list[te.Tensor]:
    return _kept(stage, _mean(stage.operands[0], "row_mean", lambda v, _i: v))


def quantized_rows(x: te.Tensor) -> tuple[te.Tensor, te.Tensor]:
    """i8 codes of f32 `x`, and a scale for each row (the last axis): the largest magnitude over 127."""
    k = _columns(x)
    top = te.compute(x.shape[:-1], lambda *i: te.max(tirx.abs(x(*i, k)), axis=k), name="row_max_abs")
    limit, zero = tirx.const(127.0, "float32"), tirx.const(0.0, "float32")

    def reciprocal(*i: Expr) -> Expr:
        scale = top(*i) / limit
        return tirx.if_then_else(scale > zero, tirx.const(1.0, "float32") / scale, zero)

    inverse = te.compute(top.shape, reciprocal, name="inverse_scale")

    def code(*i: Expr) -> Expr:
        rounded = tirx.nearbyint(x(*i) * inverse(*i[:-1]))
        return tirx.max(tirx.min(rounded, limit), -limit).astype("int8")

    codes = te.compute(x.shape, code, name="row_codes")
    scales = te.compute((*x.shape[:-1], tirx.IntImm("int64", 1)), lambda *i: top(*i[:-1]) / limit, name="row_scale")
    return codes, scales


BUILDERS: dict[str, StageBuilder] = {
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "sum": _sum,
    "max": _max,
    "mean": _mean_op,
    "quantize_rows": lambda stage: quantized_rows(stage.operands[0]),
}
