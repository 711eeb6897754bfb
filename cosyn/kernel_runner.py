"""Runs single kernels of an artifact on given values, apart from the program that calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, KVState
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops.attention import KVCache
from cosyn.ir.ops.op import Array
from cosyn.ir.ops.row import quantize_rows
from cosyn.runtime.kv_cache import state_capacity, state_shapes
from cosyn.runtime.loader import Artifact
from cosyn.runtime.manifest import StateSpec
from cosyn.runtime.tensor_memory import Buffer
from cosyn.runtime.vm_executor import VMExecutor


@dataclass(frozen=True, slots=True)
class Launch:
    """One line of `program.json`: a kernel's call."""

    group: str
    kernel: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    layer: str


def read_launches(folder: Path) -> dict[str, list[Launch]]:
    """Entry point → its calls in order, from `program.json`."""
    program = json.loads((folder / "program.json").read_text(encoding="utf-8"))
    return {
        entry: [Launch(c["group"], c["kernel"], tuple(c["arguments"]), tuple(c["results"]), c["layer"]) for c in calls]
        for entry, calls in program["entry_points"].items()
    }


class KernelRunner:
    """The kernels and packed weights of one artifact, callable one at a time for a single sequence."""

    def __init__(self, artifact: Artifact, executor: VMExecutor, graph: Graph, capacity: int) -> None:
        """`capacity`: positions that the sequence may reach."""
        manifest = artifact.manifest
        self._weights = executor.weights
        self._executor = executor
        self._graph = graph
        self._specs = {s.name: s for s in manifest.states}
        self._capacity = capacity

    def run(
        self, launch: Launch, values: Mapping[str, Array], states: Mapping[str, StateArrays]
    ) -> tuple[list[Array], dict[str, Array]]:
        """The results on `values` (reference → array), and what the tensors of its states (`$name:piece`) then hold."""
        held: dict[str, tuple[Buffer, int]] = {}
        arguments = [self._argument(text, values, states, held) for text in launch.arguments]
        results = [self._allocate(ref, values[ref].shape) for ref in launch.results]
        self._executor.library_function(launch.kernel)(*arguments, *(r.tensor for r in results))
        found = [r.get(len(values[ref])) for r, ref in zip(results, launch.results, strict=True)]
        return found, {text: buffer.get(rows) for text, (buffer, rows) in held.items()}

    def state_arrays(self, state: KVState, cache: KVCache | None, positions: Sequence[int]) -> StateArrays:
        """The tensors of `state` with what `cache` holds at `positions`, or empty."""
        spec = self._specs[state.name]
        held = state_capacity(spec, self._capacity, self._executor.max_chunk)
        arrays = {
            piece: np.zeros(shape, _NUMPY[dtype])
            for piece, (shape, dtype) in zip(PIECES, state_shapes(spec, 1, held), strict=False)
        }
        if cache is not None:
            for p in positions:
                self._write(arrays, ring_index(spec, held, p), cache.rows[0, p], state.dtype)
        return StateArrays(arrays, held, spec)

    def _write(self, arrays: dict[str, Array], at: int, row: tuple[Array, Array], dtype: DType) -> None:
        for piece, value in zip(("k", "v"), row, strict=True):
            if dtype is DType.I8:
                codes, scales = quantize_rows(NO_ATTRS, value)
                arrays[piece][0, :, at], arrays[f"{piece}_scales"][0, :, at] = codes, scales[:, 0]
            else:
                arrays[piece][0, :, at] = value

    def _argument(
        self,
        text: str,
        values: Mapping[str, Array],
        states: Mapping[str, StateArrays],
        held: dict[str, tuple[Buffer, int]],
    ) -> Any:
        if text.startswith("@"):
            return self._weights[text]
        if text.startswith("$"):
            name, _, piece = text.partition(":")
            array = states[name].arrays[piece]
            buffer = self._executor.memory.allocate(array.shape, _NAMES[array.dtype])
            buffer.put(array)
            held[text] = buffer, len(array)
            return buffer.tensor
        buffer = self._allocate(text, values[text].shape)
        buffer.put(values[text].astype(_NUMPY[self._graph.types[text].dtype.value]))
        return buffer.tensor

    def _allocate(self, ref: str, shape: Sequence[int]) -> Buffer:
        return self._executor.memory.allocate(shape, self._graph.types[ref].dtype.value)


@dataclass(frozen=True)
class StateArrays:
    """The tensors of one layer's cache for one sequence, by piece: `k`, `v`, for i8 also their scales."""

    arrays: dict[str, Array]
    held: int
    spec: StateSpec


PIECES = ("k", "v", "k_scales", "v_scales")
_NUMPY: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("f4"), "f16": np.dtype("f2"), "i8": np.dtype("i1"), "i32": np.dtype("i4"),
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _NUMPY.items()}


def ring_index(spec: StateSpec, held: int, position: int) -> int:
    """Where a cache that holds `held` positions keeps `position`."""
    if not spec.window or position < spec.sinks:
        return position
    return spec.sinks + (position - spec.sinks) % (held - spec.sinks)
