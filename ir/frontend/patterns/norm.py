"""Recognises norms that a model spells out with means and roots."""

from __future__ import annotations

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.builder import GraphBuilder
from cosyn.ir.node import Node
from cosyn.ir.ops.row import NormAttrs


def rms_norm(builder: GraphBuilder, node: Node) -> str | None:
    """x · rsqrt(mean(x · x) + eps), or x / sqrt(…) → rms_norm(x); of a centred x → layer_norm."""
    found = _root_of_mean_square(builder, node)
    if found is None:
        return None
    x, eps = found
    centred = builder.producer(x, "sub")
    if centred is not None:
        mean = builder.producer(centred.operands[1], "mean")
        if mean is not None and mean.operands[0] == centred.operands[0]:
            return builder.emit("layer_norm", [centred.operands[0]], NormAttrs(eps))
    return builder.emit("rms_norm", [x], NormAttrs(eps))


def _root_of_mean_square(builder: GraphBuilder, node: Node) -> tuple[str, float] | None:
    """(x, eps) where `node` is x over the root of its mean square."""
    if node.op not in ("mul", "div"):
        return None
    pairs = [node.operands] if node.op == "div" else [node.operands, node.operands[::-1]]
    for x, root in pairs:
        square = _inside_root(builder, root, inverse=node.op == "mul")
        parts = builder.producer(square, "add") if square else None
        if parts is None:
            continue
        for mean_ref, eps_ref in (parts.operands, parts.operands[::-1]):
            mean, eps = builder.producer(mean_ref, "mean"), builder.scalar_value(eps_ref)
            product = builder.producer(mean.operands[0], "mul") if mean else None
            if eps is not None and product is not None and set(product.operands) == {x}:
                return x, eps
    return None


def _inside_root(builder: GraphBuilder, ref: str, *, inverse: bool) -> str | None:
    """y where `ref` is sqrt(y), or with `inverse` 1 / sqrt(y)."""
    if not inverse:
        root = builder.producer(ref, "sqrt")
        return root.operands[0] if root else None
    root = builder.producer(ref, "rsqrt")
    if root is not None:
        return root.operands[0]
    quotient = builder.producer(ref, "reciprocal")
    return _inside_root(builder, quotient.operands[0], inverse=False) if quotient else None


def norm_affine(builder: GraphBuilder, node: Node) -> str | None:
    """norm(x) · w → norm(x, w), layer_norm(x, w) + b → layer_norm(x, w, b), for w and b made of weights."""
    if node.op not in ("mul", "add"):
        return None
    for norm_ref, vector in (node.operands, node.operands[::-1]):
        norm = builder.producer(norm_ref, "rms_norm", "layer_norm")
        if norm is None or builder.shape(vector) != node.type.shape[-1:] or not weights_only(builder, vector):
            continue
        wanted = {"mul": 1, "add": 2}[node.op]
        if len(norm.operands) == wanted and (node.op == "mul" or norm.op == "layer_norm"):
            return builder.emit(norm.op, [*norm.operands, _stored(builder, vector)], norm.attrs)
    return None


def _stored(builder: GraphBuilder, ref: str) -> str:
    """The weight itself where `ref` only widens it: norms convert their weights themselves."""
    cast = builder.producer(ref, "cast")
    return cast.operands[0] if cast and builder.types[cast.operands[0]].dtype in (DType.F16, DType.BF16) else ref


def weights_only(builder: GraphBuilder, ref: str) -> bool:
    """Whether a value depends on nothing but weights and numbers."""
    if ref.startswith("@"):
        return True
    node = builder.producer(ref)
    return node is not None and all(weights_only(builder, r) for r in node.operands)


RULES = (rms_norm, norm_affine)
