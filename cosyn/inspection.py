"""What a model becomes: its graph, costs, fusion groups and memory plan, from a model or from an artifact."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosyn.codegen.compiler import CompileRequest, Progress, lower_model
from cosyn.errors import CommandError
from cosyn.ir.errors import WORK_FAILED
from cosyn.ir.graph import Graph
from cosyn.ir.ops import node_cost
from cosyn.ir.parser import ParseError, parse
from cosyn.ir.types import bind_dim
from cosyn.ir.weight_format import BLOCK
from cosyn.ir.weights import has_values
from cosyn.passes.fuse import FusionPlan, fuse
from cosyn.passes.plan_memory import MemoryPlan, plan_memory
from cosyn.runtime.integrity import check_files
from cosyn.runtime.manifest import read_manifest


@dataclass(frozen=True)
class Inspection:
    """A graph after all passes, with the plans that code generation would use for it, and what was assumed."""

    graph: Graph
    fusion: FusionPlan
    memory: MemoryPlan
    notes: tuple[str, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """Bytes of every weight and constant that a step reads, as stored; a shared one counts once."""
        refs = {r for node in self.graph.nodes for r in node.operands if r.startswith("@")}
        return sum(int(self.graph.types[r].nbytes) for r in refs)

    @property
    def kv_bytes_per_position(self) -> int:
        """Bytes that one more token adds to the KV caches of all layers."""
        return sum(s.bytes_per_token for s in self.graph.states)


@dataclass(frozen=True, slots=True)
class StoredMatrix:
    """A quantized matrix that a step reads: its format, and how many of each 16 weights it keeps."""

    ref: str
    shape: tuple[int, ...]
    format: str
    kept: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class OpCost:
    """Work of all nodes of one op in a step: arithmetic (a multiply-add counts 2) and bytes moved."""

    op: str
    count: int
    ops: int
    read_bytes: int
    written_bytes: int


def inspect_artifact(folder: Path) -> Inspection:
    """The graph that the artifact in `folder` was generated from, with its plans."""
    path = folder / "graph.ir"
    manifest = read_manifest(folder)
    check_files(folder, {path.name: manifest.files[path.name]})
    try:
        graph = parse(path.read_text(encoding="utf-8"))
    except ParseError as error:
        hint = "the artifact is damaged: compile it again"
        raise CommandError(f"{path}: {error}", hint, WORK_FAILED) from error
    largest = max(manifest.entry_points, key=lambda e: e.max_seq)
    fusion = fuse(graph)
    memory = plan_memory(graph, fusion, {"seq": largest.max_seq, "out": largest.max_out})
    return Inspection(graph, fusion, memory)


def artifact_kernels(folder: Path) -> list[dict[str, Any]]:
    """What the manifest says of the artifact's kernels: see `codegen.tvm.kernel_listing`."""
    file = folder / "manifest.json"
    listed = json.loads(file.read_text(encoding="utf-8")).get("kernels") if file.is_file() else None
    if not isinstance(listed, list):
        raise CommandError(f"{folder} does not list its kernels", "they are listed in artifacts: see `cosyn compile`")
    return listed


def inspect_model(request: CompileRequest, progress: Progress) -> Inspection:
    """What the model of `request` becomes; writes nothing, and reads weights only for a recipe with a density."""
    lowered = lower_model(request, progress)
    assumed = request.recipe.density and not has_values(lowered.imported.weights)
    notes = (_ASSUMED,) if assumed else ()
    return Inspection(lowered.graph, lowered.fusion, lowered.memory, notes)


_ASSUMED = "N of 16 was chosen as for normally distributed weights: a configuration alone has no others"


def stored_matrices(graph: Graph) -> list[StoredMatrix]:
    """The quantized matrices of a graph, in order of use."""
    refs = dict.fromkeys(r for node in graph.nodes for r in node.operands if graph.types[r].format is not None)
    found = []
    for ref in refs:
        kind = graph.types[ref]
        assert kind.format is not None
        shape = tuple(int(d) for d in kind.shape)
        found.append(StoredMatrix(ref, shape, str(kind.format), kind.format.kept or BLOCK, int(kind.nbytes)))
    return found


def costs(graph: Graph, tokens: int, context: int) -> list[OpCost]:
    """Costs by op of one step over `tokens` tokens after `context` cached ones, the most bytes first."""
    bindings = {"seq": tokens, "out": min(tokens, graph.dims.get("out", (1, 1))[1]), "past": context}
    totals: dict[str, list[int]] = {}
    for node in graph.nodes:
        cost = node_cost(graph, node)
        row = totals.setdefault(node.op, [0, 0, 0, 0])
        for i, amount in enumerate((1, cost.ops, cost.read, cost.written)):
            row[i] += bind_dim(amount, bindings)
    rows = [OpCost(op, *row) for op, row in totals.items()]
    return sorted(rows, key=lambda c: c.read_bytes + c.written_bytes, reverse=True)
