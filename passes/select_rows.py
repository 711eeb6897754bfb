"""Computes the end of the model only for the tokens whose logits the caller asks for."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import sympy

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS, Kind
from cosyn.ir.ops.movement import AxisAttrs, ReshapeAttrs, SliceAttrs, TransposeAttrs
from cosyn.ir.types import OUT, SEQ, TensorType
from cosyn.passes.base import PassError
from cosyn.passes.rewrite import Rewriter


@dataclass(frozen=True)
class SelectRows:
    """Take the rows that are asked for right after the last residual, before the final norm and the head.

                                                        input %out_rows : i32[out]
        %r = add(%x, %mlp) : f32[seq, 64]               %r = add(%x, %mlp) : f32[seq, 64]
        %n = rms_norm(%r, @g) : f32[seq, 64]       →    %r.out = take(%r, %out_rows) : f32[out, 64]
        %logits = linear(%n, @w) : f32[seq, 512]        %n = rms_norm(%r.out, @g) : f32[out, 64]
                                                        %logits = linear(%n, @w) : f32[out, 512]

    The place is the last sum of two whole values that everything after it depends on, row by row; if the
    model has none, the earliest such value. Precondition: one output, with a row per token. Postcondition:
    the output has a row per element of the new last input `out_rows`.
    """

    max_out: int

    name: ClassVar[str] = "select_rows"

    def run(self, graph: Graph) -> Graph:
        cut = _cut(graph)
        rewriter = Rewriter(graph)
        rows = Input(rewriter.fresh("out_rows"), TensorType((OUT,), DType.I32))
        rewriter.inputs.append(rows)
        rewriter.types[f"%{rows.name}"] = rows.type
        after = _needing(graph, cut)
        if cut in {f"%{i.name}" for i in graph.inputs}:
            raise PassError(f"%{cut[1:]}: expected a computed value to select rows of, found an input")
        for node in graph.nodes:
            if node.name in after:
                rewriter.emit(
                    node.name, node.op, [rewriter.resolve(r) for r in node.operands],
                    _renamed(node.attrs), node.location,
                )  # fmt: skip
                continue
            rewriter.keep(node)
            if node.ref == cut:
                taken = rewriter.emit(
                    rewriter.fresh(f"{node.name}.out"), "take", [cut, f"%{rows.name}"], location=node.location
                )
                rewriter.redirect(cut, taken.ref)
        dims = {**graph.dims, str(OUT): (1, self.max_out)}
        return replace(rewriter.finish(), dims=dims)


def _cut(graph: Graph) -> str:
    """The value to take rows of: everything after it depends on the step through it alone, row by row."""
    output = graph.outputs[0]
    if len(graph.outputs) != 1 or graph.types[output].shape[:1] != (SEQ,):
        raise PassError(f"expected one output with a row per token, found {', '.join(graph.outputs)}")
    frontier = {output}
    cuts = []
    for node in reversed(graph.nodes):
        if not frontier & set(node.results):
            continue
        if len(frontier) == 1:
            cuts.append(node)
        if not _by_rows(graph, node):
            break
        frontier -= set(node.results)
        frontier |= {r for r in node.operands if _has_rows(graph, r)}
    sums = (n for n in cuts if n.op == "add" and all(graph.types[r] == n.type for r in n.operands))
    found = next(sums, cuts[-1] if cuts else None)
    if found is None:
        raise PassError(f"expected an output that a node computes, found {output}")
    return found.ref


def _has_rows(graph: Graph, ref: str) -> bool:
    return ref.startswith("%") and str(SEQ) in graph.types[ref].symbols


def _by_rows(graph: Graph, node: Node) -> bool:
    """Whether row t of the result depends on row t of the operands alone."""
    operands = [graph.types[r] for r in node.operands if _has_rows(graph, r)]
    # A reduction of f32[seq] would mix tokens, so rows need a second axis.
    if len(node.results) > 1 or any(t.shape[:1] != (SEQ,) or t.rank < 2 for t in (*operands, node.type)):
        return False
    match node.attrs:
        case SliceAttrs(axis=0) | AxisAttrs(axis=0):
            return False
        case TransposeAttrs(perm=perm):
            return perm[0] == 0
        case ReshapeAttrs():
            return True
    if OPS[node.op].kind is Kind.ELEMENTWISE:
        return all(t.rank == node.type.rank for t in operands)
    return OPS[node.op].kind in (Kind.ROW, Kind.MOVEMENT) or node.op == "linear"


def _needing(graph: Graph, cut: str) -> frozenset[str]:
    """Names of the nodes that `cut` reaches on the way to the output."""
    reached = {cut}
    names = []
    for node in graph.nodes:
        if reached & set(node.operands):
            reached |= set(node.results)
            names.append(node.name)
    return frozenset(names)


def _renamed(attrs: Any) -> Any:
    """The attributes with `out` for `seq` in every dimension."""
    changed = {}
    for field in fields(attrs):
        value = getattr(attrs, field.name)
        if isinstance(value, tuple) and any(isinstance(d, sympy.Expr) for d in value):
            changed[field.name] = tuple(d.subs(SEQ, OUT) if isinstance(d, sympy.Expr) else d for d in value)
    return replace(attrs, **changed) if changed else attrs
