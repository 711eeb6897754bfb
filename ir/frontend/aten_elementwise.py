"""Lowering of ATen's elementwise ops."""

from __future__ import annotations

from typing import Any

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.exported import value_dtype
from cosyn.ir.frontend.lowering import CannotLower, Handler, Lowering, held


def _identity(low: Lowering, node: torch.fx.Node) -> str:
    """An op that changes no value: `contiguous`, `dropout` in evaluation, a conversion between floats, …"""
    source = node.all_input_nodes[0]
    ref = low.any_value(source)
    wanted = value_dtype(node)
    if wanted is DType.F32 and low.builder.types[ref].dtype.is_float:
        return ref  # a narrow weight stays as it is until arithmetic needs it
    return low.cast(ref, wanted)


def _dropout(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    if arguments.get("train") and arguments.get("p", 0) > 0:
        raise CannotLower("dropout in training mode; expected a model in evaluation mode")
    return _identity(low, node)


def _unary(op: str) -> Handler:
    def handler(low: Lowering, node: torch.fx.Node) -> str:
        return low.emit(op, [low.operand(node.args[0], DType.F32)])

    return handler


def _binary(op: str, *, swapped: bool = False) -> Handler:
    def handler(low: Lowering, node: torch.fx.Node) -> str:
        arguments = low.arguments(node)
        if arguments.get("rounding_mode") is not None:
            raise CannotLower(f"rounding_mode={arguments['rounding_mode']}")
        dtype = value_dtype(node)
        if dtype is DType.BOOL:
            raise CannotLower("arithmetic on truth values")
        pair: list[Any] = [arguments["self"], arguments["other"]]
        refs = [low.operand(a, dtype) for a in pair]
        alpha = arguments.get("alpha", 1)
        if alpha != 1:
            refs[1] = low.emit("mul", [refs[1], low.builder.scalar(float(alpha), dtype)])
        return low.result(node, low.emit(op, refs[::-1] if swapped else refs))

    return handler


def _pow(low: Lowering, node: torch.fx.Node) -> str:
    base, exponent = node.args[:2]
    if not isinstance(base, torch.fx.Node):
        raise CannotLower("a number raised to a tensor")
    x = low.operand(base, DType.F32)
    if exponent == 2:
        return low.emit("mul", [x, x])
    if exponent in (0.5, -0.5):
        return low.emit("sqrt" if exponent == 0.5 else "rsqrt", [x])
    return low.result(node, low.emit("pow", [x, low.operand(exponent, DType.F32)]))


def _gelu(low: Lowering, node: torch.fx.Node) -> str:
    approximate = low.arguments(node).get("approximate", "none")
    return low.emit("gelu_tanh" if approximate == "tanh" else "gelu", [low.operand(node.args[0], DType.F32)])


def _clamp(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    ref = low.operand(arguments["self"], DType.F32)
    for op, bound in (("maximum", arguments.get("min")), ("minimum", arguments.get("max"))):
        if bound is not None:
            ref = low.emit(op, [ref, low.operand(bound, DType.F32)])
    return ref


def _square(low: Lowering, node: torch.fx.Node) -> str:
    x = low.operand(node.args[0], DType.F32)
    return low.emit("mul", [x, x])


def _full_like(value: float) -> Handler:
    def handler(low: Lowering, node: torch.fx.Node) -> str:
        from cosyn.ir.ops.movement import ReshapeAttrs

        scalar = low.builder.scalar(value, value_dtype(node))
        return low.emit("expand", [scalar], ReshapeAttrs(held(low.exported.shape(node))))

    return handler


HANDLERS: dict[str, Handler] = {
    **{
        f"aten.{name}": _identity
        for name in ("to", "_to_copy", "contiguous", "clone", "alias", "detach", "type_as", "lift_fresh_copy",
                     "detach_", "float", "positive")
    },
    "aten.dropout": _dropout,
    "aten.native_dropout": _dropout,
    **{
        f"aten.{name}": _unary(name)
        for name in ("neg", "abs", "exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tanh", 
                     "sigmoid", "silu", "relu")
    },
    **{f"aten.{name}_": _unary(name) for name in ("silu", "relu", "tanh", "sigmoid", "neg")},
    **{f"aten.{name}": _binary(name) for name in ("add", "sub", "mul", "div", "maximum", "minimum")},
    **{f"aten.{name}_": _binary(name) for name in ("add", "sub", "mul", "div")},
    "aten.rsub": _binary("sub", swapped=True),
    "aten.pow": _pow,
    "aten.square": _square,
    "aten.gelu": _gelu,
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp,
    "aten.clamp_max": _clamp,
    "aten.zeros_like": _full_like(0.0),
    "aten.ones_like": _full_like(1.0),
}  # fmt: skip
