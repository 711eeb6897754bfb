"""Slices and reshapes as what they are here: other names for columns of the value behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.movement import ReshapeAttrs, SliceAttrs
from cosyn.ir.types import Dim

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """Columns `indices` (any shape but the token axis) of the value `base`."""

    base: str
    indices: Indices

    @property
    def flat(self) -> Indices:
        """The columns in order."""
        return self.indices.reshape(-1)


def is_view(node: Node) -> bool:
    """Whether the node only renames columns: a reshape, or a slice beyond the token axis."""
    if node.op == "reshape":
        return True
    return isinstance(node.attrs, SliceAttrs) and node.attrs.axis > 0


def resolve_views(graph: Graph) -> Mapping[str, View]:
    """Reference → what it is a view of; a value that is no view is a view of itself."""
    found: dict[str, View] = {}
    for item in graph.inputs:
        found[f"%{item.name}"] = _whole(f"%{item.name}", item.type.shape)
    for node in graph.nodes:
        if not is_view(node):
            for ref, kind in zip(node.results, node.types, strict=True):
                found[ref] = _whole(ref, kind.shape)
            continue
        source = found[node.operands[0]]
        if isinstance(node.attrs, SliceAttrs):
            cut = [slice(None)] * (node.attrs.axis - 1)
            indices = source.indices[(*cut, slice(node.attrs.start, node.attrs.stop, node.attrs.step))]
        else:
            assert isinstance(node.attrs, ReshapeAttrs)
            indices = source.indices.reshape([int(d) for d in node.attrs.shape[1:]])
        found[node.ref] = View(source.base, indices)
    return found


def _whole(ref: str, shape: tuple[Dim, ...]) -> View:
    inner = [int(d) for d in shape[1:]]  # only the token axis is symbolic
    return View(ref, np.arange(int(np.prod(inner, dtype=np.int64))).reshape(inner))
