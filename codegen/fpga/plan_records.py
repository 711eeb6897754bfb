"""What a plan holds: where columns, weights and caches lie, for steps of any size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cosyn.accelerator_model.cache_pattern import CachePattern
from cosyn.accelerator_model.cache_spans import SpanPattern
from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.tile_stream import DENSE
from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.heads import CoreHeads, HeadOrder
from cosyn.codegen.fpga.layout import Columns, Placement, padded, whole
from cosyn.codegen.fpga.mask_plan import MaskPlan, MaskPlanner, PenaltyTables
from cosyn.codegen.fpga.mask_spans import HeadMask, Span
from cosyn.codegen.fpga.roles import NORMS, Attention, Role, Roles
from cosyn.codegen.fpga.views import View
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.weight_format import WeightFormat


@dataclass(frozen=True)
class Part:
    """Where a value or a view of it lies: per core its first place in the value's row, and the columns there."""

    base: str
    places: tuple[int, ...]
    placement: Placement


@dataclass(frozen=True)
class TileFormat:
    """How a linear's weights are stored."""

    bits: int
    kept: int
    group_steps: int

    @staticmethod
    def of(config: AcceleratorConfig, weight: WeightFormat, where: str) -> TileFormat:
        """The stream format of a weight's storage; UnsupportedError where the machine has none for it."""
        kept = weight.kept or DENSE
        problems = []
        if weight.bits not in config.weight_bits or not weight.symmetric:
            problems.append(f"{weight}: {config.name} has signed weights of {list(config.weight_bits)} bits")
        if kept != DENSE and (kept not in config.kept or weight.bits == 3):
            problems.append(f"{weight}: {config.name} keeps {list(config.kept)} of 16, in 2, 4 or 8 bits")
        if weight.group_size and not weight.integer_scales:
            problems.append(f"{weight}: group scales are integers of one byte here; use a recipe such as w4a8_g32")
        if weight.group_size % config.chain_length:
            problems.append(f"{weight}: groups must be whole steps of {config.chain_length}")
        if problems:
            raise UnsupportedError([f"{where}: storage {p}" for p in problems])
        return TileFormat(weight.bits, kept, weight.group_size // config.chain_length)


@dataclass(frozen=True)
class LinearPlan:
    """A linear: the columns of each core, the order of its rows, and the tiles they make."""

    node: Node
    weight: str
    bias: str | None
    rows: Columns
    """Element of the reduction at each place of the activation row."""
    columns: Placement
    format: TileFormat
    steps: int
    tile_words: int
    tiles: tuple[int, ...]
    """Column tiles of each core; 0 where it has no columns."""


@dataclass(frozen=True)
class AttentionPlan:
    """An attention: its heads on each core, and the sizes of its cache there."""

    attention: Attention
    heads: tuple[CoreHeads, ...]
    query: HeadOrder
    key: HeadOrder
    value: HeadOrder
    key_steps: int
    key_tiles: int
    """Tiles of positions, for the longest context."""
    value_tiles: int
    value_steps: int
    scale_stripes: int
    output: Placement
    window: int
    """Positions that a token sees, itself included; 0: all before it."""
    sinks: int
    """Positions at the start that it sees in spite of the window."""
    bank: int
    """Bank of the registers that say what a step reads of the cache; 0: all of it."""
    pattern: CachePattern | None
    """What these registers follow from where a window skips; None for bank 0, and where a block mask skips."""
    mask: MaskPlan | None = None
    """What a block mask leaves."""

    @property
    def name(self) -> str:
        return self.attention.node.name

    def order(self, role: Role) -> HeadOrder:
        """The places of a head's elements."""
        return {Role.QUERY: self.query, Role.KEY: self.key, Role.VALUE: self.value}[role]


@dataclass
class Plan:
    """All of it, by reference or node name."""

    config: AcceleratorConfig
    graph: Graph
    roles: Roles
    max_seq: int
    parts: dict[str, Part] = field(default_factory=dict)
    placements: dict[str, Placement] = field(default_factory=dict)
    """After an exchange, where there is one."""
    exchanged: dict[str, Placement] = field(default_factory=dict)
    """References that are exchanged → how they lie before that."""
    linears: dict[str, LinearPlan] = field(default_factory=dict)
    attentions: dict[str, AttentionPlan] = field(default_factory=dict)
    in_place: dict[str, int] = field(default_factory=dict)
    """Nodes whose result takes the place of an operand, and which one."""
    patterns: list[CachePattern | SpanPattern] = field(default_factory=list)
    """Patterns that skip part of the cache; the first has bank 1."""
    masks: dict[str, HeadMask] = field(default_factory=dict)
    """Block masks that hide something, by name of the attention."""
    masked: dict[MaskPlanner, tuple[int, MaskPlan]] = field(default_factory=dict)
    """The bank and what is read, for attentions that are alike."""
    spans: tuple[Span, ...] = ()
    """Positions that have programs of their own; one span without block masks."""
    penalties: PenaltyTables = field(init=False)

    def __post_init__(self) -> None:
        self.spans = self.spans or (Span(0, self.max_seq - 1),)
        self.penalties = PenaltyTables(self.config)

    def part(self, ref: str) -> Part:
        """Where a value or view lies."""
        view = self.roles.views[ref]
        found = self.parts.get(view_key(view))
        if found is not None:
            return found
        placement = self.placements[view.base]
        size = int(np.prod([int(d) for d in self.graph.types[view.base].shape[1:]], dtype=np.int64))
        if len(view.flat) == size and np.array_equal(view.flat, np.arange(size)):
            return Part(view.base, (0,) * self.config.cores, placement)
        return self._slice(ref, view, placement)

    def _slice(self, ref: str, view: View, placement: Placement) -> Part:
        """A range of columns of a value that every core has whole and in order."""
        flat = view.flat
        first = int(flat[0])
        ordered = np.array_equal(flat, np.arange(first, first + len(flat)))
        if not (placement.whole and placement.is_natural and ordered and first % self.config.lanes == 0):
            raise UnsupportedError([f"{ref}: columns of {view.base} that do not start on a line of their own"])
        return Part(
            view.base,
            (first,) * self.config.cores,
            whole(padded(np.arange(len(flat)), self.config.lanes), self.config.cores),
        )


def view_key(view: View) -> str:
    """What `Plan.parts` knows a view by."""
    return f"{view.base}:{hash(view.flat.tobytes())}"


def is_vector(plan: Plan, ref: str) -> bool:
    """Whether `ref` is a value with a row per token, not a weight, number or table."""
    if not ref.startswith("%"):
        return False
    producer = plan.graph.producer(ref)
    if producer is None:
        return False
    return producer.op != "scalar" and producer.name not in plan.roles.host


def place_result(plan: Plan, node: Node, placement: Placement) -> None:
    """Record where a result lies; exchange it where a reader needs all of it."""
    if plan.config.cores > 1 and not placement.whole and _needs_whole(plan, node.ref):
        plan.exchanged[node.ref] = placement
        placement = placement.joined()
    plan.placements[node.ref] = placement


def _needs_whole(plan: Plan, ref: str) -> bool:
    for reader, _, _ in plan.roles.readers(ref):
        if reader.op == "quantize_rows" or (reader.op in NORMS and reader.type.rank == 2) or reader.op == "take":
            return True
    return False
