"""Runs a graph step after step in the accelerator's arithmetic: the meaning of a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.errors import ModelError
from cosyn.accelerator_model.numerics.float32 import F32
from cosyn.accelerator_model.reference.attention import CacheContent, QuantizedCache
from cosyn.accelerator_model.reference.operations import OPERATIONS, Context
from cosyn.accelerator_model.reference.support import check_supported
from cosyn.accelerator_model.reference.weights import MatrixSource
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.types import STATE_TYPE

Array = npt.NDArray[Any]
Observer = Callable[[Node, tuple[Array, ...]], None]
"""Called with each node and its results, in order."""


class ReferenceModel:
    """One sequence on the accelerator's arithmetic; its INT8 cache grows from step to step.

    The KV cache is INT8 whatever element type the states declare. How a prompt is cut into steps does not change
    any bit of the results. `lanes` decides the order of sums (see numerics/reduce.py).
    """

    def __init__(self, graph: Graph, weights: MatrixSource, lanes: int) -> None:
        check_supported(graph)
        self.graph = graph
        self.lanes = lanes
        self._context = Context(weights, lanes)
        self._matrices = {n.operands[2] for n in graph.nodes if n.op == "linear_i8"}
        last = {ref: node.name for node in graph.nodes for ref in node.operands}
        self._last_use = {ref: name for ref, name in last.items() if ref.startswith("%") and ref not in graph.outputs}
        self.reset()

    @property
    def position(self) -> int:
        """Tokens in the cache: the position of the next one."""
        return self._position

    def reset(self) -> None:
        """Forget the sequence."""
        self._position = 0
        self._caches = {f"${state.name}": QuantizedCache(state) for state in self.graph.states}

    def resume(self, caches: Mapping[str, CacheContent]) -> None:
        """Continue after a sequence whose keys and values are these, by name of the state; all equally long."""
        for state in self.graph.states:
            self._caches[f"${state.name}"].restore(caches[state.name])
        lengths = {cache.length for cache in self._caches.values()}
        if len(lengths) != 1:
            raise ModelError(f"expected caches of one length, found {sorted(lengths)}")
        self._position = lengths.pop()

    def step(self, token_ids: Sequence[int], rows: Sequence[int] | None = None, observe: Observer | None = None) -> F32:
        """Append `token_ids`; logits f32 [rows, vocabulary] after the tokens numbered `rows` (all by default).

        Raises ModelError where the step does not fit the graph's range of positions.
        """
        tokens = np.asarray(token_ids, np.int32)
        self._check_range(len(tokens))
        chosen = np.arange(len(tokens)) if rows is None else np.asarray(rows)
        inputs = {
            "token_ids": tokens,
            "positions": np.arange(self._position, self._position + len(tokens), dtype=np.int32),
            "slots": np.zeros(len(tokens), np.int32),
            "out_rows": chosen.astype(np.int32),
        }
        env: dict[str, Any] = {f"%{i.name}": inputs[i.name] for i in self.graph.inputs} | self._caches
        for node in self.graph.nodes:
            results = self._run(node, env)
            if observe is not None and node.type != STATE_TYPE:
                observe(node, results)
            env |= zip(node.results, results, strict=True)
            for ref in node.operands:
                if self._last_use.get(ref) == node.name:
                    env.pop(ref, None)
        self._position += len(tokens)
        logits: F32 = env[self.graph.outputs[0]]
        return logits

    def _run(self, node: Node, env: dict[str, Any]) -> tuple[Any, ...]:
        operands = [self._constant(ref) if ref.startswith("@") else env[ref] for ref in node.operands]
        return OPERATIONS[node.op](self._context, node, operands)

    def _constant(self, ref: str) -> Any:
        return ref if ref in self._matrices else self._context.weights.values(ref)

    def _check_range(self, tokens: int) -> None:
        longest = self.graph.dims["seq"][1] if "seq" in self.graph.dims else None
        if not tokens or (longest is not None and self._position + tokens > longest):
            raise ModelError(
                f"{self.graph.name} takes 1 to {longest} positions, found a step of {tokens} after {self._position}"
            )
