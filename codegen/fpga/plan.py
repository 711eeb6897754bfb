"""Where everything lies, for steps of any size: columns on cores, weights, parameters and caches in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.tile_stream import DENSE, tile_steps, tile_words
from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.heads import CoreHeads, HeadOrder, assign_heads, head_order
from cosyn.codegen.fpga.layout import (
    PADDING,
    Columns,
    Placement,
    concatenate,
    equal,
    natural,
    padded,
    round_up,
    split_flat,
    valid_columns,
    whole,
)
from cosyn.codegen.fpga.roles import ELEMENTWISE_BINARY, ELEMENTWISE_UNARY, NORMS, Attention, Role, Roles
from cosyn.codegen.fpga.views import View, is_view
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import RopeAttrs
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

    def part(self, ref: str) -> Part:
        """Where a value or view lies."""
        view = self.roles.views[ref]
        found = self.parts.get(_key(view))
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


def _key(view: View) -> str:
    return f"{view.base}:{hash(view.flat.tobytes())}"


def make_plan(config: AcceleratorConfig, graph: Graph, max_seq: int) -> Plan:
    """The plan for `graph` on `config`; UnsupportedError lists what has no place."""
    plan = Plan(config, graph, Roles(graph), max_seq)
    for attention in plan.roles.attentions:
        plan.attentions[attention.node.name] = _plan_attention(plan, attention)
    for node in plan.roles.inputs:
        plan.placements[node.ref] = whole(natural(int(node.type.shape[-1]), config.lanes), config.cores)
    problems: list[str] = []
    unplaced: set[str] = set()
    for node in plan.roles.steps():
        if any(plan.roles.views[r].base in unplaced for r in node.operands if r in plan.roles.views):
            # Named once, where it starts.
            unplaced |= set(node.results)
            continue
        try:
            _place(plan, node)
        except UnsupportedError as error:
            problems += error.problems
            unplaced |= set(node.results)
    if problems:
        raise UnsupportedError(problems)
    return plan


def _place(plan: Plan, node: Node) -> None:
    """Decide where the results of `node` lie."""
    config = plan.config
    if node.op == "linear_i8":
        _place_linear(plan, node)
        return
    if node.op == "kv_append":
        return
    if node.op == "rope":
        # It turns where it lies.
        others = [n for n, _, _ in plan.roles.readers(node.operands[0]) if n is not node]
        if others:
            raise UnsupportedError([f"%{node.name}: rope of {node.operands[0]}, which %{others[0].name} reads too"])
        plan.parts[_key(plan.roles.views[node.ref])] = plan.part(node.operands[0])
        plan.in_place[node.name] = 0
        return
    if node.op == "attend":
        _finish(plan, node, plan.attentions[node.name].output)
        return
    if node.op == "quantize_rows":
        plan.placements[node.ref] = plan.part(node.operands[0]).placement
        return
    if node.op in NORMS and node.type.rank == 2:
        placement = plan.part(node.operands[0]).placement
        if not (_is_whole(config, placement) and placement.is_natural):
            raise UnsupportedError([f"%{node.name}: {node.op} of {node.operands[0]}, whose columns are not in order"])
        plan.placements[node.ref] = placement
        return
    parts = [plan.part(r) for r in node.operands if _is_vector(plan, r)]
    placements = [p.placement for p in parts]
    chosen = next((p for p in placements if not p.whole), placements[0])
    if node.op in NORMS and not plan_natural_heads(plan, node):
        raise UnsupportedError(
            [f"%{node.name}: {node.op} over heads whose halves are not whole lines of {config.lanes}"]
        )
    _finish(plan, node, chosen)
    if node.op not in NORMS and node.op != "take":
        _take_place(plan, node)


def _take_place(plan: Plan, node: Node) -> None:
    """Let an elementwise result lie where an operand of the same columns lay that nothing else reads."""
    if node.ref in plan.exchanged:
        return
    for number, ref in enumerate(node.operands):
        if not _is_vector(plan, ref) or plan.graph.types[ref].shape != node.type.shape:
            continue
        part = plan.part(ref)
        if not equal(part.placement, plan.placements[node.ref]):
            continue
        mine = set(plan.roles.views[ref].flat.tolist())
        others = [
            reader
            for reader, k, other in plan.roles.readers(plan.roles.views[ref].base)
            if (reader is not node or k != number) and mine & set(plan.roles.views[other].flat.tolist())
        ]
        if others or plan.roles.views[ref].base in plan.graph.outputs:
            continue
        plan.in_place[node.name] = number
        plan.parts[_key(plan.roles.views[node.ref])] = part
        for key, other in list(plan.parts.items()):
            if other.base == node.ref:
                places = tuple(a + b for a, b in zip(part.places, other.places, strict=True))
                plan.parts[key] = Part(part.base, places, other.placement)
        return


def plan_natural_heads(plan: Plan, node: Node) -> bool:
    """Whether the elements of the heads that `node` normalises lie in order, so that sums have their order."""
    use = plan.roles.head_use(node.ref)
    assert use is not None
    found = plan.attentions[use.attention.node.name]
    return found.order(use.role).is_natural


def _is_whole(config: AcceleratorConfig, placement: Placement) -> bool:
    return placement.whole or config.cores == 1


def _is_vector(plan: Plan, ref: str) -> bool:
    """Whether `ref` is a value with a row per token, not a weight, number or table."""
    if not ref.startswith("%"):
        return False
    producer = plan.graph.producer(ref)
    if producer is None:
        return False
    return producer.op != "scalar" and producer.name not in plan.roles.host


def _finish(plan: Plan, node: Node, placement: Placement) -> None:
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


def _place_linear(plan: Plan, node: Node) -> None:
    config, graph = plan.config, plan.graph
    rows = plan.placements[node.operands[0]].cores[0]
    kind = graph.types[node.operands[2]]
    if kind.format is None:
        raise UnsupportedError([f"%{node.name}: weight {node.operands[2]} is not quantized"])
    tile_format = TileFormat.of(config, kind.format, f"%{node.name}, weight {node.operands[2]}")
    ordered = np.array_equal(rows[: valid_columns(rows)], np.arange(valid_columns(rows)))
    if not ordered and (tile_format.kept != DENSE or tile_format.group_steps):
        raise UnsupportedError([f"%{node.name}: groups or N:16 over heads that are not whole lines of {config.lanes}"])
    placement = _linear_columns(plan, node)
    steps = tile_steps(config, len(rows) if not ordered else valid_columns(rows), tile_format.bits, tile_format.kept)
    plan.linears[node.name] = LinearPlan(
        node,
        node.operands[2],
        node.operands[3] if len(node.operands) > 3 else None,
        rows if not ordered else rows[: valid_columns(rows)],
        placement,
        tile_format,
        steps,
        tile_words(config, steps, tile_format.bits, tile_format.kept, tile_format.group_steps),
        tuple(-(-len(c) // config.tile_columns) for c in placement.cores),
    )
    _finish(plan, node, placement)


def _linear_columns(plan: Plan, node: Node) -> Placement:
    """Columns of a linear on each core: what each reader wants, one after the other."""
    config = plan.config
    chain = _same_columns(plan, node)
    wanted: dict[str, View] = {}
    for _, _, ref in plan.roles.readers(chain[-1]):
        view = plan.roles.views[ref]
        wanted[_key(view)] = view
    count = int(node.type.shape[-1])
    if not wanted:  # the logits
        return split_flat(count, config.cores, config.lanes)
    if len(wanted) == 1 and next(iter(wanted.values())).indices.ndim == 1:
        # A value of its own: it may be exchanged, and then lies elsewhere.
        return _segment(plan, next(iter(wanted.values())))
    columns: list[list[Columns]] = [[] for _ in range(config.cores)]
    for view in wanted.values():
        local = _segment(plan, view)
        places = tuple(sum(len(c) for c in columns[core]) for core in range(config.cores))
        for base in chain:
            plan.parts[_key(View(base, view.indices))] = Part(base, places, local)
        for core in range(config.cores):
            mine = local.cores[core]
            columns[core].append(np.where(mine == PADDING, PADDING, view.flat[np.maximum(mine, 0)]))
    return Placement(tuple(concatenate(c) for c in columns), False)


def _same_columns(plan: Plan, node: Node) -> list[str]:
    """The linear and the elementwise results after it that have nothing but its columns: a bias, an activation."""
    chain = [node.ref]
    while True:
        readers = list(plan.roles.readers(chain[-1]))
        if len(readers) != 1 or readers[0][2] != chain[-1]:
            return chain
        reader = readers[0][0]
        values = [r for r in reader.operands if _is_vector(plan, r)]
        if reader.op not in (*ELEMENTWISE_UNARY, *ELEMENTWISE_BINARY) or len(values) != 1:
            return chain
        chain.append(reader.ref)


def _segment(plan: Plan, view: View) -> Placement:
    """Columns of one view of a linear on each core, in the view's own numbers."""
    config = plan.config
    ref = next(r for r, v in plan.roles.views.items() if v is view)
    use = plan.roles.head_use(ref) if view.indices.ndim == 2 else None
    if use is None:
        return split_flat(len(view.flat), config.cores, config.lanes)
    found = plan.attentions[use.attention.node.name]
    order = found.order(use.role)
    cores = []
    for heads in found.heads:
        mine = heads.q_heads if use.role is Role.QUERY else heads.kv_heads
        cores.append(concatenate([_head_columns(order, head) for head in mine]))
    return Placement(tuple(cores), False)


def _head_columns(order: HeadOrder, head: int) -> Columns:
    return np.where(order.slots == PADDING, PADDING, head * order.size + order.slots)


def _plan_attention(plan: Plan, attention: Attention) -> AttentionPlan:
    config, graph, roles = plan.config, plan.graph, plan.roles
    query = graph.types[attention.node.operands[0]]
    heads, size = int(query.shape[1]), int(query.shape[2])
    state = attention.state
    cores = assign_heads(heads, state.n_kv_heads, config.cores)
    rope = _rope_before(roles, attention.node.operands[0])
    order = head_order(size, rope, config.lanes)
    value = head_order(state.v_dim, None, config.lanes)
    # A dot product needs query and key in the same places, so the key's pairs must be the query's.
    key_rope = _rope_before(roles, attention.append.operands[1])
    key = head_order(size, key_rope, config.lanes)
    if not np.array_equal(key.slots, order.slots):
        raise UnsupportedError([f"%{attention.node.name}: queries and keys that turn by different pairs"])
    output = Placement(tuple(concatenate([_head_columns(value, h) for h in c.q_heads]) for c in cores), False)
    words = config.stripe_bytes // 4
    return AttentionPlan(
        attention,
        cores,
        order,
        key,
        value,
        -(-order.width // config.chain_length),
        -(-plan.max_seq // config.tile_columns),
        -(-value.width // config.tile_columns),
        -(-plan.max_seq // config.chain_length),
        -(-round_up(plan.max_seq, config.tile_columns) // words),
        output,
    )


def _rope_before(roles: Roles, ref: str) -> RopeAttrs | None:
    """How the pairs of the heads in `ref` were turned."""
    node = roles.graph.producer(ref)
    while node is not None:
        if isinstance(node.attrs, RopeAttrs):
            return node.attrs
        if not (is_view(node) or node.op in NORMS):
            return None
        node = roles.graph.producer(node.operands[0])
    return None
