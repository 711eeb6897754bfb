"""In how many instructions a step's linears are multiplied: the fastest of the candidates in the cycle simulator."""

from __future__ import annotations

from collections.abc import Iterator

from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.timed import TimedRun
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.regions import Layout

CANDIDATES = (1, 2, 4)


def best_pieces(layout: Layout, tokens: int) -> int:
    """The fastest of the candidates for steps of `tokens` tokens, the smallest of equals; FitError as the step's.

    A linear of one row stays whole: it is bound by memory, and each piece only fills the pipeline once more.
    """
    found = list(_candidates(layout)) if tokens > 1 else [1]
    if len(found) == 1:
        return found[0]
    return min(found, key=lambda pieces: measured_cycles(layout, tokens, pieces))


def measured_cycles(layout: Layout, tokens: int, pieces: int) -> int:
    """Simulated cycles from the end of the first attention to that of the second; of all where there is one attention.

    Between them lies each linear of a layer once. What comes later is neither lowered nor run, so that the time of a
    search does not grow with the layers.
    """
    attends = [node.name for node in layout.plan.roles.steps() if node.op == "attend"][:2]
    position = usual_position(layout, tokens)
    last, span = attends[-1] if len(attends) > 1 else None, layout.span_at(position)
    program = compile_step(layout, tokens, pieces, last, span).program()
    registers = register_file(layout.registers(position, tokens))
    run = TimedRun(layout.plan.config, program, registers, None).run()
    if len(attends) < 2:
        return run.cycles
    ends = dict.fromkeys(attends, 0)
    for item in run.retirements:
        node = item.node.partition(":")[0]
        if node in ends:
            ends[node] = max(ends[node], item.end)
    return ends[attends[-1]] - ends[attends[0]]


def usual_position(layout: Layout, tokens: int) -> int:
    """Where a token of a prompt lies on average if prompts of all lengths are as frequent: a third of the longest.

    Or the nearest position whose span is long enough for the step.
    """
    usual = layout.plan.max_seq // 3
    long = [span for span in layout.plan.spans if span.length >= tokens]
    found = [min(max(usual, span.first), span.last + 1 - tokens) for span in long]
    return min(found, key=lambda position: abs(position - usual), default=0)


def _candidates(layout: Layout) -> Iterator[int]:
    """Those that differ: no linear has more pieces than tiles."""
    most = max((tiles for linear in layout.plan.linears.values() for tiles in linear.tiles), default=1)
    for number, pieces in enumerate(CANDIDATES):
        if number == 0 or CANDIDATES[number - 1] < most:
            yield pieces
