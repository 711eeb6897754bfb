"""Parameters: what instructions only read from the vector buffer, in one block per segment of the model.

A segment ends with each attention, so one load per layer brings scales, biases and norm weights, a segment ahead of
their use where the vector buffer has room for two blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.numerics.float32 import normalise
from cosyn.codegen.fpga.layout import PADDING, Columns, round_up
from cosyn.codegen.fpga.plan_records import Plan
from cosyn.codegen.fpga.roles import NORMS
from cosyn.ir.node import Node

F32 = NDArray[np.float32]
Load = Callable[[str], NDArray[Any]]

MAX_TOKENS = 64
"""Longest step: ALiBi slopes are stored once for each of its rows."""


@dataclass(frozen=True)
class Parameter:
    """One vector of a block: `line` and `lines` in it, and for each core the element at each place."""

    key: tuple[str, str]
    """Node and role."""
    ref: str
    line: int
    lines: int
    columns: tuple[Columns, ...]
    is_scale: bool = False
    """The row scales of a quantized weight, not its values."""


@dataclass
class Block:
    """The parameters of a segment."""

    number: int
    items: list[Parameter] = field(default_factory=list)
    lines: int = 0


class Parameters:
    """Every parameter of a plan by node and role."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.blocks = [Block(0)]
        self.segment_of: dict[str, int] = {}
        self._items: dict[tuple[str, str], Parameter] = {}
        for node in plan.roles.steps():
            self._collect(node)
            self.segment_of[node.name] = self.blocks[-1].number
            if node.op == "attend":
                self.blocks.append(Block(len(self.blocks)))
        unit = plan.config.stripe_lines
        for block in self.blocks:
            block.lines = round_up(block.lines, unit)

    def get(self, node: str, role: str) -> Parameter:
        """The parameter that `node` reads as `role`."""
        return self._items[node, role]

    def stripes(self, block: Block) -> int:
        """Memory of a block."""
        return block.lines // self._plan.config.stripe_lines

    def values(self, block: Block, core: int, vector: Load, scales: Load) -> F32:
        """The words of a block on a core; `vector` gives the values of a reference, `scales` a matrix's row scales."""
        lanes = self._plan.config.lanes
        words = np.zeros(block.lines * lanes, np.float32)
        for item in block.items:
            source = normalise((scales if item.is_scale else vector)(item.ref)).reshape(-1)
            places = item.columns[core]
            found = np.where(places == PADDING, np.float32(0), source[np.maximum(places, 0)])
            words[item.line * lanes : item.line * lanes + len(places)] = found
        return words

    def _collect(self, node: Node) -> None:
        plan = self._plan
        if node.op == "linear_i8":
            linear = plan.linears[node.name]
            columns = linear.columns.cores
            tiles = max(linear.tiles) * plan.config.tile_columns
            self._add(node, "column_scale", linear.weight, columns, True, tiles)
            if linear.bias is not None:
                self._add(node, "bias", linear.bias, columns)
        elif node.op in NORMS and node.type.rank == 2:
            columns = plan.part(node.operands[0]).placement.cores
            for role, ref in zip(("weight", "bias"), node.operands[1:], strict=False):
                self._add(node, role, ref, columns)
        elif node.op in NORMS:
            size = np.arange(int(node.type.shape[-1]))
            for role, ref in zip(("weight", "bias"), node.operands[1:], strict=False):
                self._add(node, role, ref, (size,) * plan.config.cores)
        elif node.op == "attend" and plan.attentions[node.name].attention.attrs.alibi:
            heads = plan.attentions[node.name].heads
            columns = tuple(np.repeat(np.array(core.q_heads, np.int64), MAX_TOKENS) for core in heads)
            self._add(node, "slope", node.operands[4], columns)
        else:
            for ref in node.operands:
                kind = plan.graph.types[ref]
                if ref.startswith("@") and node.op in ("add", "sub", "mul", "div") and kind.rank:
                    self._add(node, "other", ref, plan.part(node.ref).placement.cores)

    def _add(
        self,
        node: Node,
        role: str,
        ref: str,
        columns: tuple[Columns, ...],
        is_scale: bool = False,
        width: int = 0,
    ) -> None:
        block, lanes = self.blocks[-1], self._plan.config.lanes
        lines = round_up(max(width, *(len(c) for c in columns)), lanes) // lanes
        item = Parameter((node.name, role), ref, block.lines, lines, columns, is_scale)
        block.items.append(item)
        block.lines += lines
        self._items[item.key] = item


def tables(plan: Plan) -> Mapping[tuple[str, ...], tuple[int, int]]:
    """(frequencies, scale, pairs) of each rotary embedding → its first line in a row of the table, and its lines."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    line = 0
    for node in plan.roles.steps():
        if node.op != "rope":
            continue
        attrs: Any = node.attrs
        key = (node.operands[2], repr(attrs.scale), str(attrs.rotary_dim // 2))
        if key not in found:
            lines = 2 * round_up(attrs.rotary_dim // 2, plan.config.lanes) // plan.config.lanes
            found[key] = (line, lines)
            line += lines
    return found
