"""From fused groups to a program: one kernel per distinct group, one launch per group and entry point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, count

import tvm_ffi
from tvm import tirx

from cosyn.codegen.program import EntryPoint, Launch, Program
from cosyn.codegen.tvm.backend import Backend
from cosyn.codegen.tvm.choice_table import ChoiceTable
from cosyn.codegen.tvm.kernels.linear_layout import Activation, PackedLayout, layout_for
from cosyn.codegen.tvm.lower_group import GroupLowering, LoweredGroup, packed_operands
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.passes.fuse import FusionPlan
from cosyn.passes.plan_memory import MemoryPlan


@dataclass(frozen=True)
class BuiltProgram:
    """A program, its scheduled kernels by name, the packed layouts of the weights that they read, and the choices
    that kernels were made with.
    """

    program: Program
    kernels: dict[str, tirx.PrimFunc]
    layouts: dict[str, PackedLayout]
    choices: ChoiceTable


def build_program(
    graph: Graph,
    fusion: FusionPlan,
    memory: MemoryPlan,
    backend: Backend,
    prefill_chunk: int,
    choices: ChoiceTable | None = None,
) -> BuiltProgram:
    """Lower and schedule every group: once for steps of one token, once for steps of up to `prefill_chunk`.

    `choices`: what was measured to be better than the kernels' defaults.
    """
    layouts = linear_layouts(graph)
    kernels = backend.extra_kernels()
    entries = []
    for entry in entry_points(prefill_chunk):
        table = _KernelTable(backend, memory, entry, kernels)
        lowering = GroupLowering(graph, layouts, entry.bound, backend.forms, choices)
        launches = tuple(
            table.launch(lowering.lower(group), graph.producers[group.anchor].location.layer)
            for group in fusion.groups
            if group.kind != "view"
        )
        entries.append(replace(entry, launches=launches))
    return BuiltProgram(Program(graph, fusion, memory, tuple(entries)), kernels, layouts, choices or ChoiceTable())


def entry_points(prefill_chunk: int) -> tuple[EntryPoint, ...]:
    """The specialisations of a step, still without launches."""
    decode = EntryPoint("decode", 1, 1, ())
    return (decode,) if prefill_chunk == 1 else (decode, EntryPoint("prefill", prefill_chunk, prefill_chunk, ()))


def linear_layouts(graph: Graph) -> dict[str, PackedLayout]:
    """The packed layout of every matrix that a linear or an expert reads."""
    layouts: dict[str, PackedLayout] = {}
    for node in graph.nodes:
        for ref in packed_operands(node):
            layouts[ref] = layout_for(graph.types[ref], _activation(graph, node))
    return layouts


def _activation(graph: Graph, node: Node) -> Activation:
    if node.op == "linear_i8":
        return "int8"
    source = graph.producer(node.operands[0])
    return "bf16" if node.op == "linear" and source is not None and source.op == "round_bf16" else "float"


def allow_in_place(lowered: LoweredGroup, memory: MemoryPlan) -> LoweredGroup:
    """The group as the memory plan lets it run: LLVM is told that no parameters share memory, unless some do."""
    roots = {memory.root(a.ref) for a in lowered.arguments}
    if any(memory.root(r) in roots for r in lowered.results):
        return replace(lowered, function=lowered.function.with_attr("tirx.noalias", False))
    return lowered


class _KernelTable:
    """Scheduled kernels of one entry point; groups with equal functions share one."""

    def __init__(
        self, backend: Backend, memory: MemoryPlan, entry: EntryPoint, kernels: dict[str, tirx.PrimFunc]
    ) -> None:
        self._backend = backend
        self._memory = memory
        self._entry = entry
        self._kernels = kernels
        self._known: dict[int, list[tuple[tirx.PrimFunc, str]]] = {}

    def launch(self, lowered: LoweredGroup, layer: str) -> Launch:
        lowered = allow_in_place(lowered, self._memory)
        return Launch(lowered.group.name, self._kernel(lowered), lowered.arguments, lowered.results, layer)

    def _kernel(self, lowered: LoweredGroup) -> str:
        same = self._known.setdefault(tvm_ffi.structural_hash(lowered.function), [])
        for function, known in same:
            if tvm_ffi.structural_equal(function, lowered.function):
                return known
        title = f"{self._entry.name}_{lowered.title}"
        names = chain([title], (f"{title}_{i}" for i in count(2)))
        name = next(n for n in names if n not in self._kernels)
        self._kernels[name] = self._backend.schedule(lowered, self._entry.bound.get("seq"))
        same.append((lowered.function, name))
        return name
