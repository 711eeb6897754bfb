"""The order of the passes: the only place that has one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from cosyn.ir.errors import RequestError
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import WeightReader
from cosyn.ir.printer import print_graph
from cosyn.ir.verifier import check
from cosyn.ir.weight_format import KEPT
from cosyn.passes.assign_kept import AssignKept
from cosyn.passes.base import Pass
from cosyn.passes.canonicalise import Canonicalise
from cosyn.passes.decompose_moe import DecomposeMoe
from cosyn.passes.explicit_state import ExplicitState
from cosyn.passes.merge_linears import MergeLinears
from cosyn.passes.quantize import Quantize
from cosyn.passes.recipe import Recipe
from cosyn.passes.select_rows import SelectRows
from cosyn.passes.sparse_attention import BlockMask, SparseAttention


@dataclass(frozen=True)
class Options:
    """What a compilation chooses: precision, attention pattern, and the largest step's rows of logits.

    `weights` reads the model's weights where there are any, and `kept` are the N of N:16 sparsity that the target has;
    both matter to recipes with a density alone.
    """

    recipe: Recipe
    max_out: int = 32
    window: int = 0
    sinks: int = 0
    block_mask: BlockMask | None = None
    weights: WeightReader | None = None
    kept: tuple[int, ...] = KEPT


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one pass took and left: for the manifest."""

    name: str
    seconds: float
    nodes: int
    constants: int


AfterPass = Callable[[int, str, Graph], None]
"""Called with the number and name of a pass and the graph that it made; 0 and `import` come first."""


def passes(options: Options, max_seq: int) -> tuple[Pass, ...]:
    """The passes of a compilation, in order."""
    return (
        # Everything after relies on equal things being one thing, and on weight arithmetic being constants.
        Canonicalise(),
        # While attention is still one node: its pattern decides the layout of the state.
        SparseAttention(options.window, options.sinks, options.block_mask, max_seq),
        # Before quantization, since only whole matrices have row scales; asks the recipe what may be joined.
        MergeLinears(options.recipe),
        ExplicitState(options.recipe.kv),
        # After the state is split off: writing the cache needs every token, the head only some.
        SelectRows(options.max_out),
        # Before quantization, which chooses a storage for each matrix of the experts.
        DecomposeMoe(),
        # Last: from here on types say how weights lie in memory.
        Quantize(options.recipe),
        # Of the matrices as they are stored: merged, and a tied head apart from its table.
        *((AssignKept(options.recipe, options.weights, options.kept),) if options.recipe.density else ()),
        # Merging and selecting leave slices of slices and weights that nothing reads.
        Canonicalise(),
    )


def run_passes(
    graph: Graph,
    order: Sequence[Pass],
    *,
    after: AfterPass | None = None,
    stop_after: str | None = None,
    verify: bool = False,
) -> tuple[Graph, tuple[PassRecord, ...]]:
    """The graph after `order`, or after the first pass called `stop_after`, and a record of each pass run.

    `verify` checks the graph before the first and after each pass, and raises VerifyError naming the pass.
    RequestError for a `stop_after` that is no pass.
    """
    names = [IMPORT, *(p.name for p in order)]
    if stop_after is not None and stop_after not in names:
        close = get_close_matches(stop_after, names, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise RequestError(f"unknown pass {stop_after!r}{hint} Passes: {', '.join(dict.fromkeys(names))}")
    records = []
    _visit(0, IMPORT, graph, after, verify)
    for number, step in enumerate(order, start=1):
        if stop_after == names[number - 1]:
            break
        start = time.perf_counter()
        graph = step.run(graph)
        seconds = time.perf_counter() - start
        records.append(PassRecord(step.name, round(seconds, 4), len(graph.nodes), len(graph.constants)))
        _visit(number, step.name, graph, after, verify)
    return graph, tuple(records)


IMPORT = "import"
"""What the graph as imported is called among the passes."""


def _visit(number: int, name: str, graph: Graph, after: AfterPass | None, verify: bool) -> None:
    # Written before it is checked, so that a dump shows what the check refuses.
    if after is not None:
        after(number, name, graph)
    if verify:
        check(graph, name)


def dump_to(directory: Path) -> AfterPass:
    """An `after` callback that writes `00_import.ir`, `01_canonicalise.ir`, …, one file per pass."""
    directory.mkdir(parents=True, exist_ok=True)

    def write(number: int, name: str, graph: Graph) -> None:
        path = directory / f"{number:02}_{name}.ir"
        path.write_text(print_graph(graph, locations=True), encoding="utf-8")

    return write
