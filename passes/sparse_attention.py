"""Gives attention a static pattern: a sliding window with sinks, or a block mask per head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cosyn.ir.dtype import DType
from cosyn.ir.errors import REQUEST_WRONG
from cosyn.ir.graph import Graph, Weight
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import AttentionAttrs
from cosyn.ir.types import TensorType
from cosyn.passes.base import PassError
from cosyn.passes.rewrite import Rewriter


@dataclass(frozen=True, slots=True)
class BlockMask:
    """A block mask u8 `[n_heads, rows, rows]` under `key` in the weight store; each block covers `block`
    tokens.
    """

    key: str
    n_heads: int
    rows: int
    block: int


class MaskError(PassError):
    """A block mask that does not fit the model: the request was wrong, not the work."""

    exit_code = REQUEST_WRONG


@dataclass(frozen=True)
class SparseAttention:
    """Narrow what every attention sees.

        %o = attention(%q, %k, %v, %positions) {scale=0.125} : …
          → with window=256, sinks=4 and a mask of 64-token blocks
        %o = attention(%q, %k, %v, %positions, @block_mask)
               {scale=0.125, window=256, sinks=4, mask_block=64} : …

    A window that the model already has is kept where it is narrower. Precondition: attention has no state
    yet. Raises MaskError where a layer has another number of heads than the mask, a mask of its own, or where
    the mask covers fewer positions than `max_seq`.
    """

    window: int = 0
    sinks: int = 0
    mask: BlockMask | None = None
    max_seq: int = 0

    name: ClassVar[str] = "sparse_attention"

    def run(self, graph: Graph) -> Graph:
        if not self.window and not self.sinks and self.mask is None:
            return graph
        rewriter = Rewriter(graph)
        mask = self._declare_mask(rewriter)
        for node in graph.nodes:
            if node.op == "attention":
                self._narrow(rewriter, node, mask)
            else:
                rewriter.keep(node)
        return rewriter.finish()

    def _declare_mask(self, rewriter: Rewriter) -> str | None:
        mask = self.mask
        if mask is None:
            return None
        if mask.rows * mask.block < self.max_seq:
            raise MaskError(
                f"the block mask covers {mask.rows} blocks of {mask.block}, {mask.rows * mask.block} in all; "
                f"expected at least max_seq = {self.max_seq}"
            )
        type_ = TensorType((mask.n_heads, mask.rows, mask.rows), DType.U8)
        weight = Weight(rewriter.fresh("block_mask"), type_, mask.key)
        rewriter.weights.append(weight)
        rewriter.types[f"@{weight.name}"] = type_
        return f"@{weight.name}"

    def _narrow(self, rewriter: Rewriter, node: Node, mask: str | None) -> None:
        attrs = node.attrs
        assert isinstance(attrs, AttentionAttrs)
        windows = [w for w in (attrs.window, self.window) if w]
        attrs = replace(attrs, window=min(windows) if windows else None)
        if attrs.window is not None:
            attrs = replace(attrs, sinks=max(attrs.sinks, self.sinks))
        operands = [rewriter.resolve(r) for r in node.operands]
        if mask is not None and self.mask is not None:
            heads = rewriter.types[operands[0]].shape[1]
            if attrs.mask_block or heads != self.mask.n_heads:
                found = "a block mask of its own" if attrs.mask_block else f"{heads} heads"
                layer = f" in {node.location.layer}" if node.location.layer else ""
                raise MaskError(
                    f"the block mask has {self.mask.n_heads} heads; expected that many in every attention, "
                    f"without a mask, but %{node.name}{layer} has {found}"
                )
            attrs = replace(attrs, mask_block=self.mask.block)
            operands.append(mask)
        rewriter.emit(node.name, "attention", operands, attrs, node.location)
