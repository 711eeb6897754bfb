"""Chains of ops as one fused kernel, run on the CPU beside the reference functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features, vector_lanes
from cosyn.codegen.tvm.lower_group import GroupLowering
from cosyn.codegen.tvm.schedule_rows_cpu import schedule_rows
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.codegen.tvm.vector_math import with_vector_math
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input, Weight
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import OPS, make_node
from cosyn.ir.types import Dim, TensorType
from cosyn.passes.fuse import Group

Array = npt.NDArray[Any]
Step = tuple[str, str, tuple[str, ...], object]
"""(name, op, operands, attributes) of one node."""


def step(name: str, op: str, *operands: str, attrs: object = NO_ATTRS) -> Step:
    """One node of a chain."""
    return name, op, operands, attrs


class Chain:
    """Nodes over inputs (`%name`) and weights (`@name`) whose first axis is `seq` in inputs."""

    def __init__(self, arrays: Mapping[str, Array], steps: Sequence[Step], seq: Dim) -> None:
        self.arrays = dict(arrays)
        self.graph = self._graph(steps, seq)

    def _graph(self, steps: Sequence[Step], seq: Dim) -> Graph:
        def kind(ref: str, array: Array) -> TensorType:
            lead = (seq,) if ref.startswith("%") else array.shape[:1]
            return TensorType((*lead, *array.shape[1:]), DType.from_numpy(array.dtype))

        types = {ref: kind(ref, a) for ref, a in self.arrays.items()}
        inputs = tuple(Input(r[1:], t) for r, t in types.items() if r[0] == "%")
        weights = tuple(Weight(r[1:], t, r[1:]) for r, t in types.items() if r[0] == "@")
        nodes = []
        for name, op, operands, attrs in steps:
            node = make_node(name, op, operands, [types[o] for o in operands], attrs)
            types |= dict(zip(node.results, node.types, strict=True))
            nodes.append(node)
        return Graph("chain", {"seq": (1, 4096)}, inputs, weights, tuple(nodes), nodes[-1].results)

    def expected(self, outputs: Sequence[str]) -> list[Array]:
        """The outputs by the reference functions, in float64."""
        values = {r: a.astype(np.float64) if a.dtype == np.float32 else a for r, a in self.arrays.items()}
        for node in self.graph.nodes:
            found = OPS[node.op].reference(node.attrs, *[values[o] for o in node.operands])
            results = found if isinstance(found, tuple) else (found,)
            values |= dict(zip(node.results, results, strict=True))
        return [values[o] for o in outputs]

    def run_unscheduled(self, outputs: Sequence[str]) -> list[Array]:
        """The outputs by the kernel as it was lowered."""
        return self.compiled(outputs, scheduled=False)

    def compiled(self, outputs: Sequence[str], *, static: bool = False, scheduled: bool = True) -> list[Array]:
        """The outputs by one kernel; `static` fixes the number of rows."""
        rows = next(len(a) for r, a in self.arrays.items() if r[0] == "%")
        names = tuple(n.name for n in self.graph.nodes)
        group = Group("chain", "row", names, names[-1], tuple(self.arrays), tuple(outputs))
        lowered = GroupLowering(self.graph, {}, {"seq": rows} if static else {}).lower(group)
        target = cpu_target(host_features(), threads=2)
        schedule = s_tir.Schedule(lowered.function)
        if scheduled:
            schedule_rows(schedule, vector_lanes(target))
        kernel = with_vector_math(schedule.mod["main"])
        function = build_cpu(tvm.IRModule({"main": kernel}), target)["main"]
        results = [np.zeros(e.shape, _stored(e)) for e in self.expected(outputs)]
        tensors = [tvm.runtime.tensor(a) for a in (*self.arrays.values(), *results)]
        function(*tensors)
        return [t.numpy() for t in tensors[len(self.arrays) :]]


def _stored(array: Array) -> np.dtype[Any]:
    return np.dtype(np.float32) if array.dtype == np.float64 else array.dtype
