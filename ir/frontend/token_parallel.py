"""Checks that a graph treats every token of a step alone, except in attention."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.ir.errors import UnsupportedOp, UnsupportedOps
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS
from cosyn.ir.ops.op import Kind
from cosyn.ir.types import SEQ, TensorType


def check_token_parallel(graph: Graph) -> None:
    """UnsupportedOps with every node that would mix tokens: steps may hold tokens of several sequences."""
    types = graph.types
    mixing = [node for node in graph.nodes if _mixes(node, [types[r] for r in node.operands])]
    if mixing:
        raise UnsupportedOps([_describe(node) for node in mixing])


def _mixes(node: Node, operands: Sequence[TensorType]) -> bool:
    if OPS[node.op].kind is Kind.ATTENTION:
        return False
    if any(sum(_counts_tokens(d) for d in t.shape) > 1 for t in (*operands, *node.types)):
        return True
    last_is_tokens = bool(operands) and operands[0].rank > 0 and _counts_tokens(operands[0].shape[-1])
    return last_is_tokens and (OPS[node.op].kind is Kind.ROW or node.op in ("linear", "matmul", "moe"))


def _counts_tokens(dim: object) -> bool:
    return dim == SEQ or (not isinstance(dim, int) and SEQ in getattr(dim, "free_symbols", ()))


def _describe(node: Node) -> UnsupportedOp:
    reason = "it mixes tokens outside of an attention of known form (causal, a causal window, ALiBi)"
    return UnsupportedOp(node.op, node.name, node.location.layer, node.location.source, reason)
