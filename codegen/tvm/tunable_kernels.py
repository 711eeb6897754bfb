"""The distinct linear kernels of a model, each to be built alone with any choice: what `cosyn tune` measures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from tvm import tirx

from cosyn.codegen.program import Argument, EntryPoint
from cosyn.codegen.tvm.build_program import allow_in_place, entry_points, linear_layouts
from cosyn.codegen.tvm.choice_table import ChoiceKey, ChoiceTable, Measured, choice_key
from cosyn.codegen.tvm.cpu import CpuBackend
from cosyn.codegen.tvm.kernel_listing import linear_forms
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.lower_group import GroupLowering, LoweredGroup, packed_operands
from cosyn.ir.graph import Graph
from cosyn.ir.types import bind_dim
from cosyn.passes.fuse import FusionPlan, Group
from cosyn.passes.plan_memory import MemoryPlan


@dataclass(frozen=True, slots=True)
class Parameter:
    """A tensor that a kernel takes: its dtype under TVM's and numpy's name. `weight`: whether it is a packed piece."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    weight: bool = False
    piece: str = ""

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class TunableModel:
    """A graph with its plans, and the backend and the steps that its kernels are for."""

    graph: Graph
    fusion: FusionPlan
    memory: MemoryPlan
    backend: CpuBackend
    prefill_chunk: int

    def kernels(self) -> list[TunableKernel]:
        """One for each key of each entry point: of several groups with the same key the most frequent.

        In turns from each entry point, that with the most work first.
        """
        layouts = linear_layouts(self.graph)
        ranked: list[tuple[int, int, TunableKernel]] = []
        for number, entry in enumerate(entry_points(self.prefill_chunk)):
            found = sorted(self._of_entry(entry, layouts), key=lambda k: -k.launches * k.layout.nbytes)
            ranked += [(rank, number, kernel) for rank, kernel in enumerate(found)]
        return [kernel for _, _, kernel in sorted(ranked, key=lambda r: r[:2])]

    def _of_entry(self, entry: EntryPoint, layouts: Mapping[str, PackedLayout]) -> list[TunableKernel]:
        groups: dict[ChoiceKey, list[Group]] = defaultdict(list)
        layout_of: dict[ChoiceKey, PackedLayout] = {}
        for group in self.fusion.groups:
            if group.kind in ("linear", "linear_i8"):
                node = self.graph.producers[group.anchor]
                layout = layouts[packed_operands(node)[0]]
                key = choice_key(node.op, layout, entry.bound.get("seq"))
                groups[key].append(group)
                layout_of[key] = layout
        return [
            TunableKernel(self, key, entry, self._most_frequent(same), len(same), layout_of[key], layouts)
            for key, same in groups.items()
        ]

    def _most_frequent(self, groups: list[Group]) -> Group:
        ops = {g.name: tuple(self.graph.producers[n].op for n in g.nodes) for g in groups}
        ((most, _),) = Counter(ops.values()).most_common(1)
        return next(g for g in groups if ops[g.name] == most)


@dataclass(frozen=True)
class TunableKernel:
    """One linear kernel with its epilogue, as the model has it `launches` times in a step of `entry`."""

    model: TunableModel
    key: ChoiceKey
    entry: EntryPoint
    group: Group
    launches: int
    layout: PackedLayout
    layouts: Mapping[str, PackedLayout]

    @property
    def rows(self) -> int:
        """Rows that a full step of the entry point gives it."""
        return self._shape(self.group.outputs[0])[0]

    @property
    def flops(self) -> int:
        """Operations of one call; a multiply-add counts 2."""
        return 2 * self.rows * self.layout.n * self.layout.k

    def scheduled(self, choice: KernelChoice) -> tirx.PrimFunc:
        """The function that a compilation with this choice would have."""
        return self.model.backend.schedule(self._lowered(choice), self.entry.bound.get("seq"))

    @property
    def form(self) -> str:
        """What the code with default choices for a full step is made of."""
        *_, (_, form) = linear_forms(self.scheduled(DEFAULT_KERNEL_CHOICE), self.entry.max_seq)
        return form

    def parameters(self) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
        """What it reads and what it writes, with the sizes of a full step: a prompt of one chunk, one row of logits."""
        lowered = self._lowered(DEFAULT_KERNEL_CHOICE)
        dtypes = [str(p.dtype) for p in lowered.function.params]
        read = tuple(self._parameter(a, d) for a, d in zip(lowered.arguments, dtypes, strict=False))
        written = tuple(
            Parameter(ref, self._shape(ref), d) for ref, d in zip(lowered.results, dtypes[len(read) :], strict=True)
        )
        return read, written

    def _lowered(self, choice: KernelChoice) -> LoweredGroup:
        table = ChoiceTable(kernels={self.key: Measured(choice, 0.0, 0.0)})
        model = self.model
        lowering = GroupLowering(model.graph, self.layouts, self.entry.bound, model.backend.forms, table)
        return allow_in_place(lowering.lower(self.group), model.memory)

    def _parameter(self, argument: Argument, dtype: str) -> Parameter:
        if not argument.piece:
            return Parameter(argument.ref, self._shape(argument.ref), dtype)
        piece = next(p for p in self.layouts[argument.ref].pieces if p.name == argument.piece)
        return Parameter(str(argument), piece.shape, dtype, weight=True, piece=piece.name)

    def _shape(self, ref: str) -> tuple[int, ...]:
        bindings = {"seq": self.entry.max_seq, "out": 1}
        return tuple(bind_dim(d, bindings) for d in self.model.graph.types[ref].shape)
