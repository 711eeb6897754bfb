"""Cycles of a step at three levels, by class and by layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from cosyn.accelerator_model.estimate import Design, estimate_step, operations
from cosyn.accelerator_model.isa import Opcode
from cosyn.rtl_testbench.full_size.levels import Levels
from cosyn.rtl_testbench.full_size.step import RandomStep
from cosyn.rtl_testbench.system.report import Cycles, by_class, by_layer, waiting

_LAYER = re.compile(r"\.layers\.(\d+)")


def compare(step: RandomStep, levels: Levels) -> dict[str, list[Cycles]]:
    """Rows by `total`, `class`, `waiting` (for other cores) and `layer` (from the end of the one before to its own)."""
    items, design = operations(step.graph), Design.of(step.config)
    estimate = estimate_step(items, design, tokens=len(step.tokens), position=step.position)
    run = levels.step
    total = Cycles("total", run.rtl_cycles, run.simulated_cycles, float(estimate.cycles))
    classes = []
    for item in by_class(run):
        opcode, cores = Opcode[item.name], step.config.cores
        busy = float(estimate.busy[opcode]) if opcode in estimate.busy else 0.0
        classes.append(replace(item, estimated=busy * cores if busy else None))
    nodes = {node.name: layer_name(node.location.layer) for node in step.graph.nodes}
    last = nodes[step.graph.outputs[0].removeprefix("%")]

    def layer_of(text: str) -> str | None:
        name = text.partition(":")[0]
        return last if name == "end" else nodes.get(name)

    ends: dict[str, float] = {}
    for found in estimate.operations:
        layer = found.operation.layer
        ends[f"layer {layer}" if layer >= 0 else last] = float(found.end)
    ends[last] = float(estimate.cycles)
    layers, before = [], 0.0
    for item in by_layer(run, layer_of):
        end = ends.get(item.name)
        layers.append(replace(item, estimated=None if end is None else end - before))
        before = end if end is not None else before
    return {"total": [total], "class": classes, "waiting": [waiting(run)], "layer": layers}


def layer_name(module: str) -> str:
    """`layer 3` for a module in the third decoder layer, `head` for what comes after the last."""
    found = _LAYER.search(module)
    if found:
        return f"layer {found.group(1)}"
    return "input" if "embed" in module else "head"


def table(groups: dict[str, list[Cycles]]) -> Iterator[str]:
    """The rows as lines of a Markdown table."""
    yield "| | RTL | simulator | | estimate | |"
    yield "|---|---:|---:|---:|---:|---:|"
    for rows in groups.values():
        for row in rows:
            estimated = "" if row.estimated is None else f"{row.estimated:,.0f}"
            error = "" if row.estimated_error is None else f"{row.estimated_error:+.2%}"
            yield (
                f"| {row.name} | {row.rtl:,} | {row.simulated:,} | {row.simulated_error:+.2%} | {estimated} | {error} |"
            )
