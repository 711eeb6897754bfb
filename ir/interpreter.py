"""Runs a graph on numpy arrays with the reference function of each op: what the rest is checked against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import sympy

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS
from cosyn.ir.ops.attention import KVCache
from cosyn.ir.ops.op import Array, Kind
from cosyn.ir.types import TensorType, bind_dim

WeightReader = Callable[[str], Array]
"""Key of the weight store → the tensor as the checkpoint holds it."""
StoredForm = Callable[[str, TensorType, Array], Array]
"""(reference, type, unquantized values) → the values that its stored codes decode to."""
Observer = Callable[[Node, tuple[Array, ...]], None]
"""Called with each node and its results, in order."""

# These references convert weights themselves, and only the rows or experts that they touch.
_CONVERTS_WEIGHTS = (Kind.LINEAR, Kind.GATHER)


class ConstantEvaluator:
    """Values of weights and constants, one at a time; keeps nothing in memory between calls.

    Arithmetic is done in `dtype`; 16-bit floats come as such, rounded where a `cast` asks for it. Values are
    those before quantization, whatever `format` the reference has.
    """

    def __init__(self, graph: Graph, weights: WeightReader, dtype: type[np.floating] = np.float32) -> None:
        self._weights = weights
        self._dtype = dtype
        self._keys = {f"@{w.name}": w.key for w in graph.weights}
        self._constants = {f"@{n.name}": n for n in graph.constants}

    def get(self, ref: str) -> Array:
        """The array of `@ref`; KeyError where the graph declares no such weight or constant."""
        if ref in self._keys:
            return self._weights(self._keys[ref])
        if ref not in self._constants:
            raise KeyError(f"expected a weight or constant of the graph, found {ref}")
        node = self._constants[ref]
        operands = [self.get(r) for r in node.operands]
        if OPS[node.op].kind is not Kind.MOVEMENT:
            operands = [as_float(a, self._dtype) for a in operands]
        result: Array = OPS[node.op].reference(node.attrs, *operands)
        declared = node.type.dtype
        if declared.is_float and declared.bits < 32:
            return as_float(result, declared.numpy.type)
        return as_float(result, self._dtype) if result.dtype == np.float64 else result


class Interpreter:
    """A graph ready to run step after step; `keep` holds evaluated weights in memory between steps.

    `stored` is asked for the decoded values of each weight or constant whose type has a format.
    """

    def __init__(
        self,
        graph: Graph,
        weights: WeightReader,
        *,
        dtype: type[np.floating] = np.float32,
        stored: StoredForm | None = None,
        keep: bool = True,
    ) -> None:
        self.graph = graph
        self.dtype = dtype
        self._evaluator = ConstantEvaluator(graph, weights, dtype)
        self._stored = stored
        self._kept: dict[str, Array] | None = {} if keep else None
        self._last_use = {ref: node.name for node in graph.nodes for ref in node.operands}

    def new_states(self) -> dict[str, KVCache]:
        """An empty cache for each state of the graph, by name."""
        return {s.name: KVCache(s) for s in self.graph.states}

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        states: Mapping[str, KVCache] | None = None,
        observe: Observer | None = None,
    ) -> list[Array]:
        """One step: the outputs for `inputs` (name → array); `states` are updated in place, empty if not
        given.

        Raises ValueError for a missing, unknown or wrongly shaped input.
        """
        bindings, env = self._bind_inputs(inputs)
        env |= {f"${name}": cache for name, cache in (states or self.new_states()).items()}
        for node in self.graph.nodes:
            results = self._run_node(node, env, bindings)
            if observe is not None:
                observe(node, results)
            env |= zip(node.results, results, strict=True)
            self._forget(node, env)
        return [self._value(ref, env) for ref in self.graph.outputs]

    def _run_node(self, node: Node, env: Mapping[str, Any], bindings: dict[str, int]) -> tuple[Any, ...]:
        op = OPS[node.op]
        converts = op.kind in _CONVERTS_WEIGHTS
        operands = [self._constant(r, convert=not converts) if r.startswith("@") else env[r] for r in node.operands]
        result = op.reference(bind_attrs(node.attrs, bindings), *operands)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(r if isinstance(r, KVCache) else as_float(np.asarray(r), self.dtype) for r in results)

    def _forget(self, node: Node, env: dict[str, Any]) -> None:
        for ref in (*node.operands, *node.results):
            done = self._last_use.get(ref, node.name) == node.name
            if done and ref.startswith("%") and ref not in self.graph.outputs:
                env.pop(ref, None)

    def _value(self, ref: str, env: Mapping[str, Any]) -> Any:
        return self._constant(ref, convert=True) if ref.startswith("@") else env[ref]

    def _constant(self, ref: str, *, convert: bool) -> Array:
        if self._kept is not None and ref in self._kept:
            return self._kept[ref]
        value = self._evaluator.get(ref)
        declared = self.graph.types[ref]
        if declared.format is not None:
            if self._stored is None:
                raise ValueError(
                    f"{ref} is stored as {declared.format}: give `stored`, which decodes it, "
                    "or run the graph from before the quantize pass"
                )
            value = self._stored(ref, declared, value)
        if convert or self._kept is not None:
            value = as_float(value, self.dtype)
        if self._kept is not None:
            self._kept[ref] = value
        return value

    def _bind_inputs(self, inputs: Mapping[str, Array]) -> tuple[dict[str, int], dict[str, Any]]:
        expected = {i.name: i.type for i in self.graph.inputs}
        if set(inputs) != set(expected):
            raise ValueError(f"expected the inputs {sorted(expected)}, found {sorted(inputs)}")
        bindings: dict[str, int] = {}
        env: dict[str, Any] = {}
        for name, declared in expected.items():
            array = np.asarray(inputs[name])
            _bind_shape(name, declared, array.shape, bindings)
            env[f"%{name}"] = array.astype(self.dtype if declared.dtype.is_float else declared.dtype.numpy, copy=False)
        return bindings, env


def run_graph(
    graph: Graph,
    inputs: Mapping[str, Array],
    weights: WeightReader,
    *,
    dtype: type[np.floating] = np.float32,
    states: Mapping[str, KVCache] | None = None,
    observe: Observer | None = None,
    stored: StoredForm | None = None,
) -> list[Array]:
    """The outputs of one step of `graph`, computed in `dtype` (see Interpreter); reads weights lazily."""
    interpreter = Interpreter(graph, weights, dtype=dtype, stored=stored, keep=False)
    return interpreter.run(inputs, states=states, observe=observe)


def evaluate_constants(graph: Graph, weights: WeightReader, dtype: type[np.floating] = np.float32) -> dict[str, Array]:
    """Every constant of the graph by reference; for small graphs, since all are in memory at once."""
    evaluator = ConstantEvaluator(graph, weights, dtype)
    return {f"@{n.name}": evaluator.get(f"@{n.name}") for n in graph.constants}


def as_float(array: Array, dtype: type[np.generic]) -> Array:
    """The array in `dtype` if it holds floats of another width, else the array itself."""
    if array.dtype == dtype or not _is_float(array.dtype):
        return array
    return array.astype(dtype)


def bind_attrs(attrs: Any, bindings: dict[str, int]) -> Any:
    """The attribute record with symbolic dimensions replaced by integers."""
    if not is_dataclass(attrs) or isinstance(attrs, type):
        return attrs
    changed = {}
    for field in fields(attrs):
        value = getattr(attrs, field.name)
        if isinstance(value, tuple) and any(isinstance(d, sympy.Expr) for d in value):
            changed[field.name] = tuple(bind_dim(d, bindings) for d in value)
    return replace(attrs, **changed) if changed else attrs


def _is_float(dtype: np.dtype[Any]) -> bool:
    try:
        return DType.from_numpy(dtype).is_float
    except KeyError:
        return False


def _bind_shape(name: str, declared: TensorType, shape: Sequence[int], bindings: dict[str, int]) -> None:
    found = f"expected %{name} : {declared}, found shape {list(shape)}"
    if len(shape) != declared.rank:
        raise ValueError(found)
    for dim, extent in zip(declared.shape, shape, strict=True):
        if isinstance(dim, sympy.Symbol):
            bound = bindings.setdefault(str(dim), extent)
        else:
            bound = bind_dim(dim, bindings)
        if bound != extent:
            raise ValueError(f"{found} with {bindings}")
