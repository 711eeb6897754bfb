"""Removes movement that undoes itself: permutations, reshapes and slices of one another."""

from __future__ import annotations

from dataclasses import replace

from cosyn.ir.frontend.builder import GraphBuilder
from cosyn.ir.node import Node
from cosyn.ir.ops.movement import AxisAttrs, SliceAttrs, TransposeAttrs


class MergeEqual:
    """A rule: a node that computes what an earlier one does → that one. Make a new one for each rewrite."""

    def __init__(self) -> None:
        self._first: dict[tuple[object, ...], str] = {}

    def __call__(self, _builder: GraphBuilder, node: Node) -> str | None:
        if len(node.types) > 1:
            return None
        first = self._first.setdefault((node.op, node.operands, node.attrs), node.ref)
        return None if first == node.ref else first


def merge_transposes(builder: GraphBuilder, node: Node) -> str | None:
    """transpose(transpose(x)) → one transpose, or x itself."""
    if not isinstance(node.attrs, TransposeAttrs):
        return None
    inner = builder.producer(node.operands[0], "transpose")
    if inner is None or not isinstance(inner.attrs, TransposeAttrs):
        identity = node.attrs.perm == tuple(range(len(node.attrs.perm)))
        return node.operands[0] if identity else None
    perm = tuple(inner.attrs.perm[p] for p in node.attrs.perm)
    return builder.transpose(inner.operands[0], perm)


def transpose_to_reshape(builder: GraphBuilder, node: Node) -> str | None:
    """A transpose that only moves axes of size 1 → reshape."""
    if not isinstance(node.attrs, TransposeAttrs):
        return None
    shape = builder.shape(node.operands[0])
    moved = [p for p in node.attrs.perm if shape[p] != 1]
    return builder.reshape(node.operands[0], node.type.shape) if moved == sorted(moved) else None


def merge_reshapes(builder: GraphBuilder, node: Node) -> str | None:
    """reshape(reshape(x)) → one reshape; a reshape or expand to the same shape → x."""
    if node.op not in ("reshape", "expand"):
        return None
    source = node.operands[0]
    if builder.shape(source) == node.type.shape:
        return source
    inner = builder.producer(source, "reshape")
    if node.op == "expand" or inner is None:
        return None
    return builder.reshape(inner.operands[0], node.type.shape)


def concat_of_slices(builder: GraphBuilder, node: Node) -> str | None:
    """concat(x[:a], x[a:]) → x."""
    if node.op != "concat" or not isinstance(node.attrs, AxisAttrs):
        return None
    pieces = [builder.producer(ref, "slice") for ref in node.operands]
    at = 0
    sources = set()
    for piece in pieces:
        if piece is None or not isinstance(piece.attrs, SliceAttrs):
            return None
        attrs = piece.attrs
        if (attrs.axis, attrs.start, attrs.step) != (node.attrs.axis, at, 1):
            return None
        at = attrs.stop
        sources.add(piece.operands[0])
    source = sources.pop() if len(sources) == 1 else None
    return source if source is not None and builder.types[source] == node.type else None


def transpose_after_norm(builder: GraphBuilder, node: Node) -> str | None:
    """norm(transpose(x)) → transpose(norm(x)), where the last axis stays last: rows are the same."""
    if node.op not in ("rms_norm", "layer_norm"):
        return None
    inner = builder.producer(node.operands[0], "transpose")
    if (
        inner is None
        or not isinstance(inner.attrs, TransposeAttrs)
        or inner.attrs.perm[-1] != len(inner.attrs.perm) - 1
    ):
        return None
    normed = builder.emit(node.op, [inner.operands[0], *node.operands[1:]], node.attrs)
    return builder.transpose(normed, inner.attrs.perm)


def transpose_after_slice(builder: GraphBuilder, node: Node) -> str | None:
    """slice(transpose(x)) → transpose(slice(x))."""
    if not isinstance(node.attrs, SliceAttrs):
        return None
    inner = builder.producer(node.operands[0], "transpose")
    if inner is None or not isinstance(inner.attrs, TransposeAttrs):
        return None
    piece = builder.emit("slice", [inner.operands[0]], replace(node.attrs, axis=inner.attrs.perm[node.attrs.axis]))
    return builder.transpose(piece, inner.attrs.perm)


def transpose_after_concat(builder: GraphBuilder, node: Node) -> str | None:
    """concat(transpose(a), transpose(b), …) → transpose(concat(a, b, …)), where all move axes alike."""
    if not isinstance(node.attrs, AxisAttrs) or node.op != "concat":
        return None
    pieces = [builder.producer(ref, "transpose") for ref in node.operands]
    perms = {p.attrs.perm for p in pieces if p is not None and isinstance(p.attrs, TransposeAttrs)}
    if None in pieces or len(perms) != 1:
        return None
    perm = perms.pop()
    whole = builder.emit("concat", [p.operands[0] for p in pieces if p], AxisAttrs(perm[node.attrs.axis]))
    return builder.transpose(whole, perm)


RULES = (
    transpose_after_concat,
    transpose_after_norm,
    transpose_after_slice,
    merge_transposes,
    transpose_to_reshape,
    merge_reshapes,
    concat_of_slices,
)
