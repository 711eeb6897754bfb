"""Lowering of einsum with two operands: one product of matrices between permutations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.lowering import CannotLower, Handler, Lowering
from cosyn.ir.types import Dim


def _einsum(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    equation: str = arguments["equation"].replace(" ", "")
    operands: list[torch.fx.Node] = list(arguments["tensors"])
    inputs, _, out = equation.partition("->")
    terms = inputs.split(",")
    if "." in equation or not out or len(operands) != 2 or any(len(set(t)) != len(t) for t in terms):
        raise CannotLower(f"einsum {equation!r}; expected two operands, an arrow, and no repeated letter")
    extents: dict[str, Dim] = {}
    for term, operand in zip(terms, operands, strict=True):
        extents |= dict(zip(term, low.exported.shape(operand), strict=True))
    # Axes of size 1, such as the batch, play no part.
    a, b, result = ([c for c in term if extents[c] != 1] for term in (*terms, out))
    batch = [c for c in a if c in b and c in result]
    inner = [c for c in a if c in b and c not in result]
    left = [c for c in a if c not in b]
    right = [c for c in b if c not in a]
    if len(inner) != 1 or not set(left + right) <= set(result):
        raise CannotLower(f"einsum {equation!r}; expected a product over one letter")

    def arranged(operand: torch.fx.Node, have: list[str], want: list[str], groups: Sequence[list[str]]) -> str:
        ref = low.cast(low.any_value(operand), DType.F32)
        ref = low.builder.reshape(ref, [extents[c] for c in have])
        ref = low.builder.transpose(ref, [have.index(c) for c in want])
        return low.builder.reshape(ref, [_product(extents[c] for c in group) for group in groups])

    ones = [[c] for c in batch]
    x = arranged(operands[0], a, batch + left + inner, [*ones, left, inner])
    y = arranged(operands[1], b, batch + inner + right, [*ones, inner, right])
    made = batch + left + right
    ref = low.builder.reshape(low.emit("matmul", [x, y]), [extents[c] for c in made])
    return low.result(node, low.builder.transpose(ref, [made.index(c) for c in result]))


def _product(dims: Iterable[Dim]) -> Dim:
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


HANDLERS: dict[str, Handler] = {"aten.einsum": _einsum}
