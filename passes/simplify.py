"""Local rules that make one node plainer, as a table: what each looks for and what it puts there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cosyn.ir.node import NO_ATTRS, Node
from cosyn.ir.ops import OPS, Kind, make_node
from cosyn.ir.ops.elementwise import ScalarAttrs
from cosyn.ir.ops.movement import SliceAttrs, TransposeAttrs
from cosyn.ir.ops.op import broadcast
from cosyn.ir.types import TensorType


@dataclass
class Scope:
    """What a rule may look at: types of references, and producers of the nodes emitted so far."""

    types: Mapping[str, TensorType]
    producers: dict[str, Node] = field(default_factory=dict)

    def producer(self, ref: str, op: str) -> Node | None:
        """The node that computes `ref`, if its op is `op`."""
        node = self.producers.get(ref)
        return node if node is not None and node.op == op else None

    def scalar(self, ref: str) -> float | None:
        """The number that `ref` is, if a `scalar` node gives it."""
        node = self.producer(ref, "scalar")
        return node.attrs.value if node is not None and isinstance(node.attrs, ScalarAttrs) else None

    def remade(self, node: Node, op: str, operands: tuple[str, ...], attrs: object = NO_ATTRS) -> Node:
        """A node that takes the place of `node`: same name, other op."""
        return make_node(node.name, op, operands, [self.types[r] for r in operands], attrs, node.location)


Rule = Callable[[Scope, Node], str | Node | None]
"""The reference that `node` equals, or a plainer node of the same name, or None where the rule does not
apply.
"""


def simplified(scope: Scope, node: Node) -> str | Node:
    """`node` after all rules: the reference that it equals, or the node to emit."""
    while True:
        for rule in RULES.values():
            found = rule(scope, node)
            if isinstance(found, str):
                return found
            if found is not None:
                node = found
                break
        else:
            return node


def _same_type(scope: Scope, node: Node) -> str | None:
    trivial = {"reshape", "expand", "cast", "slice"}
    if node.op in trivial and scope.types[node.operands[0]] == node.type:
        return node.operands[0]
    return None


def _single_concat(_scope: Scope, node: Node) -> str | None:
    return node.operands[0] if node.op == "concat" and len(node.operands) == 1 else None


def _transpose(scope: Scope, node: Node) -> str | Node | None:
    if not isinstance(node.attrs, TransposeAttrs):
        return None
    perm = node.attrs.perm
    if perm == tuple(range(len(perm))):
        return node.operands[0]
    inner = scope.producer(node.operands[0], "transpose")
    if inner is None or not isinstance(inner.attrs, TransposeAttrs):
        return None
    return scope.remade(node, "transpose", inner.operands, TransposeAttrs(tuple(inner.attrs.perm[p] for p in perm)))


def _reshape(scope: Scope, node: Node) -> Node | None:
    inner = scope.producer(node.operands[0], "reshape") if node.op == "reshape" else None
    return scope.remade(node, "reshape", inner.operands, node.attrs) if inner else None


def _slice(scope: Scope, node: Node) -> Node | None:
    outer = node.attrs
    inner = scope.producer(node.operands[0], "slice") if node.op == "slice" else None
    if inner is None or not isinstance(outer, SliceAttrs) or not isinstance(inner.attrs, SliceAttrs):
        return None
    first = inner.attrs
    if outer.axis != first.axis or first.step != 1:
        return None
    attrs = SliceAttrs(outer.axis, first.start + outer.start, first.start + outer.stop, outer.step)
    return scope.remade(node, "slice", inner.operands, attrs)


def _expanded_operand(scope: Scope, node: Node) -> Node | None:
    if OPS[node.op].kind is not Kind.ELEMENTWISE or len(node.operands) != 2:
        return None
    for i, ref in enumerate(node.operands):
        source = scope.producer(ref, "expand")
        if source is None:
            continue
        operands = (*node.operands[:i], source.operands[0], *node.operands[i + 1 :])
        if broadcast([scope.types[r].shape for r in operands]) == node.type.shape:
            return scope.remade(node, node.op, operands)
    return None


def _identity(scope: Scope, node: Node) -> str | None:
    if len(node.operands) != 2:
        return None
    a, b = node.operands
    neutral = {"mul": 1.0, "div": 1.0, "pow": 1.0, "add": 0.0, "sub": 0.0}.get(node.op)
    if neutral is None:
        return None
    # A sum with zero keeps its value; only -0.0 + 0.0 differs from -0.0, and they are equal numbers.
    if scope.scalar(b) == neutral and scope.types[a] == node.type:
        return a
    if node.op in ("mul", "add") and scope.scalar(a) == neutral and scope.types[b] == node.type:
        return b
    return None


def _negation(scope: Scope, node: Node) -> str | Node | None:
    if node.op == "neg" and (inner := scope.producer(node.operands[0], "neg")):
        return inner.operands[0]
    if node.op != "mul":
        return None
    for x, c in (node.operands, node.operands[::-1]):
        if scope.scalar(c) == -1.0 and scope.types[x] == node.type:
            return scope.remade(node, "neg", (x,))
    return None


def _power(scope: Scope, node: Node) -> Node | None:
    if node.op != "pow" or scope.types[node.operands[0]] != node.type:
        return None
    x, exponent = node.operands[0], scope.scalar(node.operands[1])
    if exponent == 2.0:
        return scope.remade(node, "mul", (x, x))
    unary = {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}.get(exponent or 0.0)
    return scope.remade(node, unary, (x,)) if unary else None


def _root(scope: Scope, node: Node) -> Node | None:
    if node.op == "reciprocal" and (inner := scope.producer(node.operands[0], "sqrt")):
        return scope.remade(node, "rsqrt", inner.operands)
    if node.op == "div" and scope.scalar(node.operands[0]) == 1.0 and scope.types[node.operands[1]] == node.type:
        return scope.remade(node, "reciprocal", node.operands[1:])
    return None


def _number(scope: Scope, node: Node) -> Node | None:
    if OPS[node.op].kind is not Kind.ELEMENTWISE or not node.operands or node.type.shape:
        return None
    values = [scope.scalar(r) for r in node.operands]
    if not node.type.dtype.is_float or any(v is None for v in values):
        return None
    operands = [np.asarray(v, np.float64) for v in values]
    value = float(OPS[node.op].reference(node.attrs, *operands))
    return scope.remade(node, "scalar", (), ScalarAttrs(value, node.type.dtype))


RULES: dict[str, Rule] = {
    "a reshape, expand, cast or slice to its own type is its operand": _same_type,
    "a concat of one operand is the operand": _single_concat,
    "a transpose of a transpose is one transpose; one that moves nothing is its operand": _transpose,
    "a reshape of a reshape is one reshape": _reshape,
    "a slice of a slice along the same axis is one slice": _slice,
    "an elementwise op broadcasts by itself: it reads what was expanded": _expanded_operand,
    "arithmetic on numbers is a number": _number,
    "x · 1, x / 1, x^1, x + 0 and x - 0 are x": _identity,
    "-(-x) is x, and x · -1 is -x": _negation,
    "x^2 is x · x; x^½, x^-½ and x^-1 are sqrt, rsqrt and reciprocal": _power,
    "1 / √x is rsqrt, and 1 / x is reciprocal": _root,
}
"""What each rule does, in words, and the rule; tried in this order."""
