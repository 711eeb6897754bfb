"""Brings a graph to its plainest form: nothing computed twice, nothing without effect, constants apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.passes.rewrite import Rewriter, without_dead
from cosyn.passes.simplify import Scope, simplified


@dataclass(frozen=True)
class Canonicalise:
    """Remove what has no effect, merge what is equal, move what needs only weights to the constants.

        %b = reshape(%a) {shape=[seq, 64]} : f32[seq, 64]      with %a : f32[seq, 64]
        %c = scalar() {value=1.0} : f32[]            →     %e = silu(%a) : f32[seq, 64]
        %d = mul(%b, %c) : f32[seq, 64]
        %e = silu(%d) : f32[seq, 64]

    Precondition: a verified graph. Postcondition: no rule of `simplify.RULES` applies, no two nodes are
    equal, every node is needed, and every node whose operands are weights is a constant. Output names may
    change.
    """

    name: ClassVar[str] = "canonicalise"

    def run(self, graph: Graph) -> Graph:
        # Each round may expose more; three suffice in practice, and each is linear in the nodes.
        for _ in range(_MAX_ROUNDS):
            before = graph
            graph = without_dead(_one_round(graph))
            if graph == before:
                break
        return graph


_MAX_ROUNDS = 8


def _one_round(graph: Graph) -> Graph:
    rewriter = Rewriter(graph)
    scope = Scope(rewriter.types)
    scope.producers |= {f"@{n.name}": n for n in graph.constants}
    merger = _Merger(rewriter, scope)
    for old in graph.nodes:
        found = simplified(scope, replace(old, operands=tuple(rewriter.resolve(r) for r in old.operands)))
        if isinstance(found, str):
            rewriter.redirect(old.ref, found)
        elif (equal := merger.equal(found)) is not None:
            for mine, other in zip(found.results, equal.results, strict=True):
                rewriter.redirect(mine, other)
        elif (constant := merger.constant(found)) is not None:
            rewriter.redirect(old.ref, constant)
        else:
            rewriter.append(found)
            scope.producers[found.ref] = found
    return rewriter.finish()


class _Merger:
    """Finds an earlier node, or a constant, that computes the same."""

    def __init__(self, rewriter: Rewriter, scope: Scope) -> None:
        self._rewriter = rewriter
        self._scope = scope
        self._nodes: dict[object, Node] = {}
        self._constants: dict[object, str] = {_key(n): f"@{n.name}" for n in rewriter.constants}

    def equal(self, node: Node) -> Node | None:
        """The earlier node with the same op, operands and attributes; remembers this one otherwise."""
        if node.op == "kv_append":
            return None
        other = self._nodes.setdefault(_key(node), node)
        return None if other is node else other

    def constant(self, node: Node) -> str | None:
        """The constant equal to `node`, added if there is none yet; None where `node` needs more than
        weights.
        """
        # An expanded weight would only be a larger weight; a number alone is written into the code.
        weights = [r for r in node.operands if r.startswith("@")]
        if not weights or node.op == "expand" or len(node.types) > 1 or node.type.symbols:
            return None
        numbers = {r: self._scope.producer(r, "scalar") for r in node.operands if r not in weights}
        if None in numbers.values():
            return None
        named = {r: self._add(number) for r, number in numbers.items() if number is not None}
        return self._add(replace(node, operands=tuple(named.get(r, r) for r in node.operands)))

    def _add(self, node: Node) -> str:
        if _key(node) not in self._constants:
            node = self._named(node)
            self._constants[_key(node)] = self._rewriter.add_constant(node)
            self._scope.producers[f"@{node.name}"] = node
        return self._constants[_key(node)]

    def _named(self, node: Node) -> Node:
        """`node` under a name that tells which weight it comes from."""
        weight = next((r[1:] for r in node.operands if r.startswith("@")), "")
        return replace(node, name=self._rewriter.fresh(f"{weight}.{node.op}" if weight else node.name))


def _key(node: Node) -> object:
    # repr, because 0.0 == -0.0 and 1 == True but they do not mean the same.
    return node.op, node.operands, repr(node.attrs), node.types
