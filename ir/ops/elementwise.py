"""Elementwise ops: result[i] = f(operand[i], …) with numpy broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf

from cosyn.ir.dtype import DType
from cosyn.ir.node import NoAttrs
from cosyn.ir.ops.op import Array, Kind, Op, OpError, broadcast
from cosyn.ir.types import Dim, TensorType


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow for large |x|."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def gelu(x: Array) -> Array:
    """x · Φ(x), by the error function."""
    result: Array = (0.5 * x * (1 + erf(x * np.sqrt(0.5).astype(x.dtype)))).astype(x.dtype)
    return result


def gelu_tanh(x: Array) -> Array:
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016, section 2)."""
    inner = np.sqrt(2 / np.pi).astype(x.dtype) * (x + x.dtype.type(0.044715) * x**3)
    result: Array = (0.5 * x * (1 + np.tanh(inner))).astype(x.dtype)
    return result


def round_bf16(x: Array) -> Array:
    """x rounded to 8 significant binary digits, ties to even, in the type of x."""
    rounded: Array = x.astype(DType.BF16.numpy).astype(x.dtype)
    return rounded


UNARY: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "neg": ("-x", np.negative),
    "abs": ("|x|", np.abs),
    "exp": ("e^x", np.exp),
    "log": ("natural logarithm", np.log),
    "sqrt": ("√x", np.sqrt),
    "rsqrt": ("1 / √x", lambda x: 1 / np.sqrt(x)),
    "reciprocal": ("1 / x", np.reciprocal),
    "sin": ("sine", np.sin),
    "cos": ("cosine", np.cos),
    "tanh": ("hyperbolic tangent", np.tanh),
    "sigmoid": ("1 / (1 + e^-x)", sigmoid),
    "silu": ("x · sigmoid(x)", lambda x: x * sigmoid(x)),
    "gelu": ("x · Φ(x), exact", gelu),
    "gelu_tanh": ("GELU by its tanh approximation", gelu_tanh),
    "relu": ("max(x, 0)", lambda x: np.maximum(x, 0)),
    "round_bf16": ("x rounded to bfloat16", round_bf16),
}
"""Name → (formula, meaning) of the ops with one operand; `moe` takes any of them as its activation."""

BINARY: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "add": ("a + b", np.add),
    "sub": ("a - b", np.subtract),
    "mul": ("a · b", np.multiply),
    "div": ("a / b", np.divide),
    "pow": ("a^b", np.power),
    "maximum": ("max(a, b)", np.maximum),
    "minimum": ("min(a, b)", np.minimum),
}

# Operations counted per element; transcendental functions count as four, following common roofline practice.
_COSTLY = {
    "exp", "log", "sin", "cos", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh",
    "pow", "rsqrt", "sqrt", "div", "reciprocal",
}  # fmt: skip


def _infer(_attrs: NoAttrs, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    dtypes = {t.dtype for t in types}
    if len(dtypes) != 1:
        raise OpError(f"operands must have one element type, found {sorted(d.value for d in dtypes)}")
    return (TensorType(broadcast([t.shape for t in types]), types[0].dtype),)


def _count(weight: int) -> Callable[[Any, Sequence[TensorType], Sequence[TensorType]], Dim]:
    return lambda _attrs, _operands, results: results[0].elements * weight


@dataclass(frozen=True, slots=True)
class CastAttrs:
    """`to`: element type of the result."""

    to: DType


@dataclass(frozen=True, slots=True)
class ScalarAttrs:
    """`value`: the number; `dtype`: its element type."""

    value: float
    dtype: DType = DType.F32


def _cast(attrs: CastAttrs, x: Array) -> Array:
    # Narrowing floats is storage, not meaning: the reference keeps the width it is given.
    if attrs.to.is_float and x.dtype in (np.float32, np.float64):
        return x
    return x.astype(np.float32 if attrs.to.is_float else attrs.to.numpy)


def _elementwise(name: str, doc: str, arity: int, reference: Callable[..., Array]) -> Op:
    def run(_attrs: NoAttrs, *operands: Array) -> Array:
        return reference(*operands)

    return Op(name, doc, Kind.ELEMENTWISE, (arity, arity), _infer, run, _count(4 if name in _COSTLY else 1))


OPS = (
    *(_elementwise(name, doc, 1, function) for name, (doc, function) in UNARY.items()),
    *(_elementwise(name, doc, 2, function) for name, (doc, function) in BINARY.items()),
    Op(
        "cast", "element type conversion", Kind.ELEMENTWISE, (1, 1),
        lambda attrs, types: (TensorType(types[0].shape, attrs.to),),
        _cast, _count(1), CastAttrs,
    ),
    Op(
        "scalar", "a number, as a tensor of rank 0", Kind.ELEMENTWISE, (0, 0),
        lambda attrs, _types: (TensorType((), attrs.dtype),),
        # Not rounded to f32, so that arithmetic in f64 is exact; the interpreter brings it to its own width.
        lambda attrs: np.asarray(attrs.value, np.float64 if attrs.dtype.is_float else attrs.dtype.numpy),
        _count(0), ScalarAttrs,
    ),
)  # fmt: skip
