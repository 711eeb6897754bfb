"""Runs a graph group by group inside one arena of bytes, as generated code does, by reference functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator, WeightReader, as_float, bind_attrs
from cosyn.ir.ops import OPS
from cosyn.ir.ops.attention import KVCache
from cosyn.ir.types import bind_dim
from cosyn.passes.fuse import FusionPlan, Group
from cosyn.passes.plan_memory import MemoryPlan

Array = np.ndarray[Any, Any]


class Arena:
    """Values of a step in one array of bytes, which starts as garbage; computes in f32."""

    def __init__(self, graph: Graph, plan: FusionPlan, memory: MemoryPlan, weights: WeightReader) -> None:
        self.graph, self.plan, self.memory = graph, plan, memory
        self.constants = ConstantEvaluator(graph, weights)
        self.states = {f"${s.name}": KVCache(s) for s in graph.states}
        self.bytes = np.full(memory.arena_bytes, 0xA5, np.uint8)

    def run(self, inputs: dict[str, Array], bindings: dict[str, int]) -> list[Array]:
        """The outputs for `inputs`, at sizes that do not exceed the bounds of the plan."""
        given = {f"%{i.name}": np.asarray(inputs[i.name]).astype(i.type.dtype.numpy) for i in self.graph.inputs}
        results: dict[str, Array] = {}
        for group in self.plan.kernels:
            for ref, value in self._compute(group, given, bindings).items():
                if ref in self.graph.outputs:
                    results[ref] = value
                elif not isinstance(value, KVCache):
                    self._at(ref, bindings)[...] = value
        return [results[r] for r in self.graph.outputs]

    def _compute(self, group: Group, given: dict[str, Array], bindings: dict[str, int]) -> dict[str, Any]:
        env: dict[str, Any] = {ref: self._read(ref, given, bindings) for ref in group.inputs}
        for name in group.nodes:
            node = self.graph.producers[name]
            result = OPS[node.op].reference(bind_attrs(node.attrs, bindings), *(env[r] for r in node.operands))
            parts = result if isinstance(result, tuple) else (result,)
            for ref, part in zip(node.results, parts, strict=True):
                env[ref] = part if isinstance(part, KVCache) else as_float(np.asarray(part), np.float32)
        return {ref: env[ref] for ref in group.outputs}

    def _read(self, ref: str, given: dict[str, Array], bindings: dict[str, int]) -> Any:
        if ref.startswith("@"):
            return as_float(self.constants.get(ref), np.float32)
        if self.graph.types[ref].dtype is DType.STATE:
            writer = self.graph.producer(ref)
            return self.states[ref if writer is None else writer.operands[0]]
        return given[ref] if ref in given else self._at(ref, bindings).copy()

    def _at(self, ref: str, bindings: dict[str, int]) -> Array:
        type_ = self.graph.types[ref]
        shape = [bind_dim(d, bindings) for d in type_.shape]
        offset = self.memory.offset(ref)
        size = int(np.prod(shape)) * type_.dtype.bits // 8
        return self.bytes[offset : offset + size].view(type_.dtype.numpy).reshape(shape)
