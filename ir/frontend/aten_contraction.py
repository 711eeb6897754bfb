"""Lowering of ATen ops that reduce or contract: products with weights, norms, softmax, top-k, experts."""

from __future__ import annotations

from typing import Any

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.lowering import CannotLower, Handler, Lowering
from cosyn.ir.ops.contraction import MoeAttrs
from cosyn.ir.ops.row import NormAttrs, TopKAttrs


def _linear(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    refs = [low.value(arguments["input"]), low.any_value(arguments["weight"])]
    if arguments.get("bias") is not None:
        refs.append(low.any_value(arguments["bias"]))
    return low.emit("linear", refs)


def _is_weight(low: Lowering, ref: str) -> bool:
    """Whether `ref` is a matrix of weights, possibly behind movement."""
    while True:
        if ref.startswith("@"):
            return True
        node = low.builder.producer(ref, "transpose", "reshape", "slice", "cast")
        if node is None:
            return False
        ref = node.operands[0]


def _product(low: Lowering, node: torch.fx.Node, a: torch.fx.Node, b: torch.fx.Node, bias: Any = None) -> str:
    right = low.any_value(b)
    if len(low.builder.shape(right)) == 2 and _is_weight(low, right):
        refs = [low.value(a), low.builder.transpose(right, (1, 0))]
        if bias is not None:
            refs.append(low.any_value(bias))
        return low.emit("linear", refs)
    product = low.emit("matmul", [low.operand(a, DType.F32), low.operand(b, DType.F32)])
    if bias is not None:
        product = low.emit("add", [product, low.operand(bias, DType.F32)])
    return low.result(node, product)


def _matmul(low: Lowering, node: torch.fx.Node) -> str:
    a, b = node.args[:2]
    if not (isinstance(a, torch.fx.Node) and isinstance(b, torch.fx.Node)):
        raise CannotLower("a product with something that is not a tensor")
    if min(len(low.exported.shape(a)), len(low.exported.shape(b))) < 2:
        raise CannotLower("a product with a vector")
    return _product(low, node, a, b)


def _addmm(low: Lowering, node: torch.fx.Node) -> str:
    """bias·beta + alpha·(a @ b), for matrices or batches of them."""
    arguments = low.arguments(node)
    a, b = (arguments[n] for n in (("mat1", "mat2") if "mat1" in arguments else ("batch1", "batch2")))
    alpha, beta = arguments.get("alpha", 1), arguments.get("beta", 1)
    if (alpha, beta) == (1, 1):
        return _product(low, node, a, b, arguments["self"])
    product = _product(low, node, a, b)
    if alpha != 1:
        product = low.emit("mul", [product, low.builder.scalar(float(alpha))])
    bias = low.operand(arguments["self"], DType.F32)
    if beta != 1:
        bias = low.emit("mul", [bias, low.builder.scalar(float(beta))])
    return low.result(node, low.emit("add", [bias, product]))


def _embedding(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    ids = low.cast(low.value(arguments["indices"]), DType.I32)
    return low.result(node, low.emit("embedding", [ids, low.any_value(arguments["weight"])]))


def _index(low: Lowering, node: torch.fx.Node) -> str:
    """`table[numbers]`: rows of a table of weights."""
    arguments = low.arguments(node)
    table, indices = arguments["self"], arguments["indices"]
    if table.op != "placeholder" or len(indices) != 1 or len(low.exported.shape(table)) != 2:
        raise CannotLower("an index by tensors other than rows of a table of weights")
    ids = low.cast(low.value(indices[0]), DType.I32)
    return low.result(node, low.emit("embedding", [ids, low.any_value(table)]))


def _gather(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    source = arguments["self"]
    if arguments["dim"] not in (-1, len(low.exported.shape(source)) - 1):
        raise CannotLower("a gather along another axis than the last")
    return low.emit("take_columns", [low.operand(source, DType.F32), low.value(arguments["index"])])


def _last_axis(low: Lowering, source: torch.fx.Node, dims: Any) -> None:
    axes = [dims] if isinstance(dims, int) else list(dims or [])
    rank = len(low.exported.shape(source))
    if [d % rank for d in axes] != [rank - 1]:
        raise CannotLower(f"a reduction over axes {axes}; expected the last axis alone")


def _reduction(op: str) -> Handler:
    def handler(low: Lowering, node: torch.fx.Node) -> str:
        arguments = low.arguments(node)
        source = arguments["self"]
        _last_axis(low, source, arguments.get("dim"))
        return low.result(node, low.emit(op, [low.operand(source, DType.F32)]))

    return handler


def _variance(*, root: bool) -> Handler:
    def handler(low: Lowering, node: torch.fx.Node) -> str:
        arguments = low.arguments(node)
        source = arguments["self"]
        _last_axis(low, source, arguments.get("dim"))
        x = low.operand(source, DType.F32)
        columns = low.builder.shape(x)[-1]
        unbiased = arguments.get("correction", int(arguments.get("unbiased", True)))
        centred = low.emit("sub", [x, low.emit("mean", [x])])
        ref = low.emit("mean", [low.emit("mul", [centred, centred])])
        if unbiased:
            if not isinstance(columns, int) or columns <= unbiased:
                raise CannotLower("the variance of an axis of unknown or too small extent")
            ref = low.emit("mul", [ref, low.builder.scalar(columns / (columns - unbiased))])
        return low.result(node, low.emit("sqrt", [ref]) if root else ref)

    return handler


def _softmax(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    _last_axis(low, arguments["self"], arguments["dim"])
    return low.emit("softmax", [low.operand(arguments["self"], DType.F32)])


def _topk(low: Lowering, node: torch.fx.Node) -> tuple[str, ...]:
    arguments = low.arguments(node)
    source = arguments["self"]
    _last_axis(low, source, arguments.get("dim", -1))
    if not arguments.get("largest", True):
        raise CannotLower("the smallest elements; expected the largest")
    ref = low.emit("topk", [low.operand(source, DType.F32)], TopKAttrs(int(arguments["k"])))
    return ref, f"{ref}.1"


def _norm(op: str) -> Handler:
    def handler(low: Lowering, node: torch.fx.Node) -> str:
        arguments = low.arguments(node)
        if len(arguments["normalized_shape"]) != 1:
            raise CannotLower("a norm over more than the last axis")
        refs = [low.operand(arguments["input"], DType.F32)]
        weight, bias = arguments.get("weight"), arguments.get("bias")
        if weight is not None:
            refs.append(low.any_value(weight))
        eps: Any = arguments.get("eps")
        if op == "rms_norm" and eps is None:
            eps = torch.finfo(node.meta["val"].dtype).eps
        ref = low.emit(
            op,
            refs + ([low.any_value(bias)] if weight is not None and bias is not None else []),
            NormAttrs(eps),
        )
        if bias is not None and weight is None:
            ref = low.emit("add", [ref, low.operand(bias, DType.F32)])
        return low.result(node, ref)

    return handler


def _moe(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    refs = [
        low.operand(arguments["x"], DType.F32),
        low.operand(arguments["weights"], DType.F32),
        low.value(arguments["ids"]),
        low.any_value(arguments["up"]),
        low.any_value(arguments["down"]),
        *(low.any_value(arguments[bias]) for bias in ("up_bias", "down_bias") if arguments[bias] is not None),
    ]
    attrs = MoeAttrs(arguments["activation"], arguments["gated"])
    return low.result(node, low.emit("moe", refs, attrs))


HANDLERS: dict[str, Handler] = {
    "aten.linear": _linear,
    "aten.matmul": _matmul,
    "aten.mm": _matmul,
    "aten.bmm": _matmul,
    "aten.addmm": _addmm,
    "aten.baddbmm": _addmm,
    "aten.embedding": _embedding,
    "aten.index": _index,
    "aten.gather": _gather,
    "aten.mean": _reduction("mean"),
    "aten.sum": _reduction("sum"),
    "aten.amax": _reduction("max"),
    "aten.var": _variance(root=False),
    "aten.std": _variance(root=True),
    "aten.softmax": _softmax,
    "aten._softmax": _softmax,
    "aten.topk": _topk,
    "aten.layer_norm": _norm("layer_norm"),
    "aten.rms_norm": _norm("rms_norm"),
    "cosyn.moe": _moe,
}
