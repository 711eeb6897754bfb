"""Elementwise ops as tensor expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import te, tirx

from cosyn.codegen.tvm.compute.stage import Stage, StageBuilder, load_float, tvm_dtype

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so


def _c(x: Expr, value: float) -> Expr:
    return tirx.const(value, x.dtype if hasattr(x, "dtype") else "float32")


def sigmoid(x: Expr) -> Expr:
    """1 / (1 + e^-x); e^-x overflows to infinity for very negative x, which gives the right 0."""
    return _c(x, 1.0) / (_c(x, 1.0) + tirx.exp(-x))


def tanh(x: Expr) -> Expr:
    """1 - 2 / (e^2x + 1): saturates to ±1 without overflow into NaN."""
    return _c(x, 1.0) - _c(x, 2.0) / (tirx.exp(_c(x, 2.0) * x) + _c(x, 1.0))


def gelu(x: Expr) -> Expr:
    """x · Φ(x) by the error function."""
    return _c(x, 0.5) * x * (_c(x, 1.0) + tirx.erf(x * _c(x, 0.7071067811865476)))


def gelu_tanh(x: Expr) -> Expr:
    """GELU's tanh approximation, as x · sigmoid(2u), which equals x · (1 + tanh u) / 2."""
    u = _c(x, 0.7978845608028654) * (x + _c(x, 0.044715) * x * x * x)
    return x * sigmoid(_c(x, 2.0) * u)


def round_bf16(x: Expr) -> Expr:
    """f32 x rounded to bf16, ties to even, by its bits."""
    bits = tirx.reinterpret("uint32", x)
    tie = (bits >> tirx.const(16, "uint32")) & tirx.const(1, "uint32")
    rounded = (bits + tirx.const(0x7FFF, "uint32") + tie) & tirx.const(0xFFFF0000, "uint32")
    return tirx.reinterpret("float32", rounded)


UNARY: dict[str, Callable[[Expr], Expr]] = {
    "neg": lambda x: -x,
    "abs": tirx.abs,
    "exp": tirx.exp,
    "log": tirx.log,
    "sqrt": tirx.sqrt,
    "rsqrt": lambda x: _c(x, 1.0) / tirx.sqrt(x),
    "reciprocal": lambda x: _c(x, 1.0) / x,
    "sin": tirx.sin,
    "cos": tirx.cos,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": lambda x: tirx.max(x, _c(x, 0.0)),
    "round_bf16": round_bf16,
}

BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": tirx.pow,
    "maximum": tirx.max,
    "minimum": tirx.min,
}


def read(x: te.Tensor, index: Sequence[Expr], static_one: Sequence[bool]) -> Expr:
    """x at a broadcast index: trailing axes align, axes of extent 1 read element 0; stored floats become f32."""
    rank = len(x.shape)
    aligned = list(index)[len(index) - rank :]
    at = [tirx.IntImm("int64", 0) if one else i for i, one in zip(aligned, static_one, strict=True)]
    value = x(*at)
    return load_float(value, x.dtype) if x.dtype in ("float16", "uint16") else value


def _operand_reader(x: te.Tensor, out_rank: int) -> Callable[..., Expr]:
    one = [isinstance(d, tirx.IntImm) and int(d) == 1 for d in x.shape]

    def reader(*index: Expr) -> Expr:
        return read(x, index[:out_rank], one)

    return reader


def _build(function: Callable[..., Expr]) -> StageBuilder:
    def build(stage: Stage) -> list[te.Tensor]:
        readers = [_operand_reader(x, stage.node.type.rank) for x in stage.operands]
        return [te.compute(stage.shape, lambda *i: function(*[r(*i) for r in readers]), name=stage.node.op)]

    return build


def _build_cast(stage: Stage) -> list[te.Tensor]:
    reader = _operand_reader(stage.operands[0], stage.node.type.rank)
    target = tvm_dtype(stage.node.type.dtype)
    return [te.compute(stage.shape, lambda *i: reader(*i).astype(target), name="cast")]


def _build_scalar(stage: Stage) -> list[te.Tensor]:
    value = stage.const(stage.node.attrs.value)  # type: ignore[attr-defined]
    return [te.compute((), lambda: value, name="scalar")]


BUILDERS: dict[str, StageBuilder] = {
    **{name: _build(f) for name, f in UNARY.items()},
    **{name: _build(f) for name, f in BINARY.items()},
    "cast": _build_cast,
    "scalar": _build_scalar,
}
