"""Where each kernel goes in a picture of the graph: layers of longest paths, with repeated layers folded."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from cosyn.ir.graph import Graph
from cosyn.passes.fuse import FusionPlan, Group


@dataclass(frozen=True)
class Layout:
    """Groups by name, their centres, and edges (source, target, carried from one repetition to the next).

    `repeated` names the groups of the layer that stands for `repeats` of them. Ranks are one unit apart,
    downwards from 0.
    """

    groups: dict[str, Group]
    positions: dict[str, tuple[float, float]]
    edges: tuple[tuple[str, str, bool], ...]
    repeated: tuple[str, ...]
    repeats: int
    width: float
    height: float


def layout(graph: Graph, plan: FusionPlan) -> Layout:
    """Positions for the kernels of `plan`."""
    kernels = plan.kernels
    start, period, repeats = _repetition([_signature(graph, g) for g in kernels])
    shown = _shown(len(kernels), start, period, repeats)
    producer = _producers(graph, plan, kernels)
    edges: dict[tuple[str, str, bool], None] = {}
    for i, group in enumerate(kernels):
        for ref in group.inputs:
            j = producer.get(ref)
            if j is None:
                continue
            source, target = kernels[shown[j]].name, kernels[shown[i]].name
            if source != target:
                edges[source, target, shown[j] > shown[i]] = None
    groups = {kernels[i].name: kernels[i] for i in dict.fromkeys(shown)}
    positions, width, height = _positions(groups, [(s, t) for s, t, carried in edges if not carried])
    repeated = tuple(kernels[i].name for i in range(start, start + period)) if repeats > 1 else ()
    return Layout(groups, positions, tuple(edges), repeated, repeats, width, height)


def _signature(graph: Graph, group: Group) -> object:
    ops = tuple(graph.producers[n].op for n in group.nodes if graph.producers[n].op != "scalar")
    return group.kind, ops, tuple(str(graph.types[r]) for r in group.outputs)


def _repetition(signatures: list[object]) -> tuple[int, int, int]:
    """(start, period, number) of the repetition that covers most of the sequence; number 1 where there is
    none.
    """
    best = (0, len(signatures), 1)
    covered = 0
    for period in range(2, len(signatures) // 2 + 1):
        run = 0
        for i in range(period, len(signatures) + 1):
            if i < len(signatures) and signatures[i] == signatures[i - period]:
                run += 1
                continue
            number = run // period + 1
            if number > 1 and number * period > covered:
                best, covered = (i - run - period, period, number), number * period
            run = 0
    return best


def _shown(count: int, start: int, period: int, repeats: int) -> list[int]:
    """Index of each kernel → index of the one that stands for it."""
    inside = range(start, start + period * repeats)
    return [start + (i - start) % period if i in inside else i for i in range(count)]


def _producers(graph: Graph, plan: FusionPlan, kernels: tuple[Group, ...]) -> dict[str, int]:
    """Reference → index of the kernel that writes it, views followed to their source."""
    found = {ref: i for i, group in enumerate(kernels) for ref in group.outputs}
    for group in plan.groups:
        if group.kind == "view" and group.inputs[0] in found:
            found[group.outputs[0]] = found[group.inputs[0]]
    return found


def _positions(
    groups: dict[str, Group], edges: list[tuple[str, str]]
) -> tuple[dict[str, tuple[float, float]], float, float]:
    rank = dict.fromkeys(groups, 0)
    sources = defaultdict(list)
    for source, target in edges:
        sources[target].append(source)
    for name in groups:
        rank[name] = max((rank[s] + 1 for s in sources[name]), default=0)
    rows: dict[int, list[str]] = defaultdict(list)
    for name in groups:
        rows[rank[name]].append(name)
    positions: dict[str, tuple[float, float]] = {}
    for row, names in sorted(rows.items()):
        # Near what they read: sorted by the mean place of their sources.
        wanted = {n: _mean([positions[s][0] for s in sources[n]]) for n in names}
        for i, name in enumerate(sorted(names, key=lambda n: wanted[n])):
            positions[name] = (i - (len(names) - 1) / 2, -float(row))
    return positions, float(max(map(len, rows.values()), default=1)), float(len(rows))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
