"""Where everything lies, for steps of any size: columns on cores, weights, parameters and caches in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from cosyn.accelerator_model.cache_pattern import skip_unit
from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.layout import Placement, equal, natural, whole
from cosyn.codegen.fpga.mask_plan import load_mask
from cosyn.codegen.fpga.mask_spans import HeadMask, spans_of
from cosyn.codegen.fpga.plan_attention import plan_attention
from cosyn.codegen.fpga.plan_linear import place_linear
from cosyn.codegen.fpga.plan_records import Part, Plan, is_vector, place_result, view_key
from cosyn.codegen.fpga.roles import NORMS, Roles
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node


def make_plan(
    config: AcceleratorConfig, graph: Graph, max_seq: int, load: Callable[[str], NDArray[Any]] | None = None
) -> Plan:
    """The plan for `graph` on `config`; UnsupportedError lists what has no place.

    `load` gives the values of a reference: a plan for block masks needs them.
    """
    plan = Plan(config, graph, Roles(graph), max_seq)
    _collect_masks(plan, load)
    for attention in plan.roles.attentions:
        plan.attentions[attention.node.name] = plan_attention(plan, attention)
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


def _collect_masks(plan: Plan, load: Callable[[str], NDArray[Any]] | None) -> None:
    """Every attention's block mask, and the spans that follow from all of them."""
    known: dict[tuple[str, int], HeadMask | None] = {}
    for attention in plan.roles.attentions:
        key = (attention.node.operands[-1], attention.attrs.mask_block)
        if key not in known:
            known[key] = load_mask(attention, load, plan.max_seq)
        found = known[key]
        if found is not None:
            plan.masks[attention.node.name] = found
    masks = [mask for key, mask in known.items() if mask is not None]
    if masks:
        windowed = any(a.attrs.window for a in plan.roles.attentions if a.node.name in plan.masks)
        plan.spans = spans_of(masks, skip_unit(plan.config), plan.max_seq, windowed=windowed)


def _place(plan: Plan, node: Node) -> None:
    """Decide where the results of `node` lie."""
    config = plan.config
    if node.op == "linear_i8":
        place_linear(plan, node)
        return
    if node.op == "kv_append":
        return
    if node.op == "rope":
        # It turns where it lies.
        others = [n for n, _, _ in plan.roles.readers(node.operands[0]) if n is not node]
        if others:
            raise UnsupportedError([f"%{node.name}: rope of {node.operands[0]}, which %{others[0].name} reads too"])
        plan.parts[view_key(plan.roles.views[node.ref])] = plan.part(node.operands[0])
        plan.in_place[node.name] = 0
        return
    if node.op == "attend":
        place_result(plan, node, plan.attentions[node.name].output)
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
    parts = [plan.part(r) for r in node.operands if is_vector(plan, r)]
    placements = [p.placement for p in parts]
    chosen = next((p for p in placements if not p.whole), placements[0])
    if node.op in NORMS and not plan_natural_heads(plan, node):
        raise UnsupportedError(
            [f"%{node.name}: {node.op} over heads whose halves are not whole lines of {config.lanes}"]
        )
    place_result(plan, node, chosen)
    if node.op not in NORMS and node.op != "take":
        _take_place(plan, node)


def _take_place(plan: Plan, node: Node) -> None:
    """Let an elementwise result lie where an operand of the same columns lay that nothing else reads."""
    if node.ref in plan.exchanged:
        return
    for number, ref in enumerate(node.operands):
        if not is_vector(plan, ref) or plan.graph.types[ref].shape != node.type.shape:
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
        plan.parts[view_key(plan.roles.views[node.ref])] = part
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
