"""Which columns of a linear each core computes, and the tiles that its weights make."""

from __future__ import annotations

import numpy as np

from cosyn.accelerator_model.tile_stream import DENSE, tile_steps, tile_words
from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.layout import PADDING, Columns, Placement, concatenate, split_flat, valid_columns
from cosyn.codegen.fpga.plan_attention import head_columns
from cosyn.codegen.fpga.plan_records import LinearPlan, Part, Plan, TileFormat, is_vector, place_result, view_key
from cosyn.codegen.fpga.roles import ELEMENTWISE_BINARY, ELEMENTWISE_UNARY, Role
from cosyn.codegen.fpga.views import View
from cosyn.ir.node import Node


def place_linear(plan: Plan, node: Node) -> None:
    """Where the weights and the result of a linear lie."""
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
    place_result(plan, node, placement)


def _linear_columns(plan: Plan, node: Node) -> Placement:
    """Columns of a linear on each core: what each reader wants, one after the other."""
    config = plan.config
    chain = _same_columns(plan, node)
    wanted: dict[str, View] = {}
    for _, _, ref in plan.roles.readers(chain[-1]):
        view = plan.roles.views[ref]
        wanted[view_key(view)] = view
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
            plan.parts[view_key(View(base, view.indices))] = Part(base, places, local)
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
        values = [r for r in reader.operands if is_vector(plan, r)]
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
        cores.append(concatenate([head_columns(order, head) for head in mine]))
    return Placement(tuple(cores), False)
