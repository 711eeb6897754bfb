"""Joins linears that read the same value into one: Q, K and V; gate and up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.movement import AxisAttrs, SliceAttrs
from cosyn.passes.recipe import Recipe
from cosyn.passes.rewrite import Rewriter
from cosyn.passes.routers import routers
from cosyn.passes.sources import Sources


@dataclass(frozen=True)
class MergeLinears:
    """One pass over the activations, and one larger kernel, instead of several.

        %q = linear(%x, @wq) : f32[seq, 64]
        %k = linear(%x, @wk) : f32[seq, 32]
          →
        constant @wq_wk = concat(@wq, @wk) {axis=0} : f32[96, 64]
        %q_k = linear(%x, @wq_wk) : f32[seq, 96]
        %q = slice(%q_k) {axis=1, start=0, stop=64} : f32[seq, 64]
        %k = slice(%q_k) {axis=1, start=64, stop=96} : f32[seq, 32]

    Precondition: canonical, not quantized. Left alone: expert routers, and linears whose weights differ in
    type or in what the recipe stores them as, or whose rows are not a multiple of 4 (the slices would be
    unaligned). Postcondition: no two mergeable linears read the same value.
    """

    recipe: Recipe

    name: ClassVar[str] = "merge_linears"

    def run(self, graph: Graph) -> Graph:
        members = {n.name: group for group in self._groups(graph) for n in group}
        rewriter = Rewriter(graph)
        merged: dict[str, str] = {}
        for node in graph.nodes:
            group = members.get(node.name)
            if group is None:
                rewriter.keep(node)
                continue
            if group[0] is node:
                merged |= dict.fromkeys((n.name for n in group), _emit(rewriter, group))
            start = sum(int(n.type.shape[-1]) for n in group[: group.index(node)])
            attrs = SliceAttrs(node.type.rank - 1, start, start + int(node.type.shape[-1]))
            rewriter.emit(node.name, "slice", [merged[node.name]], attrs, node.location)
        return rewriter.finish()

    def _groups(self, graph: Graph) -> list[tuple[Node, ...]]:
        sources, routing = Sources(graph), routers(graph)
        groups: dict[object, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            if node.op != "linear" or node.name in routing or not node.operands[1].startswith("@"):
                continue
            weight = graph.types[node.operands[1]]
            rows, columns = int(weight.shape[0]), int(weight.shape[1])
            if rows % _ALIGNMENT == 0:
                storage = self.recipe.storage(sources.keys(node.operands[1]), columns)
                bias = [graph.types[r].dtype for r in node.operands[2:]]
                groups[node.operands[0], weight.dtype, storage, *bias].append(node)
        return [tuple(g) for g in groups.values() if len({n.operands[1] for n in g}) > 1]


_ALIGNMENT = 4


def _emit(rewriter: Rewriter, group: tuple[Node, ...]) -> str:
    """Emit the merged linear where the first of `group` stood; returns its reference."""
    operands = [rewriter.resolve(group[0].operands[0])]
    for position in range(1, len(group[0].operands)):
        parts = [n.operands[position] for n in group]
        hint = _joined([p[1:] for p in parts])
        operands.append(rewriter.constant(hint, "concat", parts, AxisAttrs(0), group[0].location))
    name = rewriter.fresh(_joined([n.name for n in group]))
    return rewriter.emit(name, "linear", operands, location=group[0].location).ref


def _joined(names: list[str]) -> str:
    """One name from several: their common beginning and end once, and between them what differs."""
    start = len(_common(names))
    end = len(_common([n[start:][::-1] for n in names]))
    first = names[0]
    middle = "_".join(n[start : len(n) - end] for n in names)
    return first[:start] + middle + first[len(first) - end :]


def _common(names: list[str]) -> str:
    """The longest common beginning that ends between words."""
    length = 0
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        length += 1
    first = names[0]
    return first[: max(first.rfind(".", 0, length), first.rfind("_", 0, length)) + 1]
