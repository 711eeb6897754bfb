"""Recognises rotary embeddings by what they compute, however the model spells them.

A candidate is a region of the graph that is linear in one value x and has position-only factors. It is run on
unit vectors at position 1, which gives the matrix that x is multiplied by: its entries tell which pairs turn
and by which angle. It counts as rotary only if it then equals the `rope` op at many positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.builder import GraphBuilder, remove_dead
from cosyn.ir.frontend.lowering import PositionInput, sequence_axis
from cosyn.ir.frontend.patterns.region import Region, RegionFinder
from cosyn.ir.frontend.positional import Array, PositionValues
from cosyn.ir.graph import Graph, Weight
from cosyn.ir.ops.attention import RopeAttrs, rope
from cosyn.ir.types import SEQ, TensorType

_LINEAR = {"add", "sub", "mul", "neg", "slice", "concat", "reshape", "transpose", "expand", "cast", "scalar"}
_ROOTS = {"add", "sub", "concat", "reshape"}
_PROBES = (0, 1, 2, 3, 5, 17, 100, 1021)
_TOLERANCE = 2e-5


@dataclass(frozen=True)
class Rotation:
    """What a region computes: the attributes of `rope` and its frequencies f32[rotary_dim / 2]."""

    attrs: RopeAttrs
    frequencies: Array


def recognise_rope(
    graph: Graph, positional: PositionValues, inputs: Mapping[str, PositionInput], max_seq: int
) -> Graph:
    """`graph` with every rotary region as transposes and a `rope` node, and its frequencies as weights.

    `inputs` maps the names of position-only graph inputs to traced nodes.
    """
    factors = {f"%{name}" for name in inputs}
    finder = RegionFinder(graph, factors)
    probes = tuple(p for p in _PROBES if p < max_seq)
    known: dict[tuple[object, ...], Rotation | None] = {}
    found: dict[str, tuple[Region, Rotation]] = {}
    inside: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op not in _ROOTS or node.name in inside:
            continue
        region = finder.region(node, _LINEAR)
        if region is None or not _may_turn(region, graph, factors):
            continue
        signature = (*region.signature, graph.types[region.x])
        if signature not in known:
            known[signature] = _Fit(graph, region, positional, inputs, probes).rotation()
        rotation = known[signature]
        if rotation is not None:
            found[node.name] = (region, rotation)
            inside.update(n.name for n in region.nodes)
    return _replace(graph, found, positional) if found else graph


def _may_turn(region: Region, graph: Graph, factors: set[str]) -> bool:
    """Whether x has heads and tokens, and at least a cosine and a sine are multiplied in."""
    x = graph.types[region.x]
    reads = sum(ref in factors for node in region.nodes for ref in node.operands)
    return x.rank in (2, 3) and sequence_axis(x.shape) is not None and reads >= 2


class _Fit:
    """Determines which rotation a region is, by running it."""

    def __init__(
        self,
        graph: Graph,
        region: Region,
        positional: PositionValues,
        inputs: Mapping[str, PositionInput],
        probes: tuple[int, ...],
    ) -> None:
        self.region = region
        self.positional = positional
        self.inputs = inputs
        self.probes = probes
        self.shape = graph.types[region.x].shape
        self.axis = sequence_axis(self.shape) or 0
        self.factors = {
            r: graph.types[r] for n in region.nodes for r in n.operands if r.startswith("%") and not graph.producer(r)
        }

    def rotation(self) -> Rotation | None:
        """The rotation that the region equals at every probe, None if it is none."""
        width = self.shape[-1]
        if not isinstance(width, int) or len(self.probes) < 2:
            return None
        still, turned = self._matrix(0, width), self._matrix(1, width)
        for interleaved in (False, True):
            candidate = _read(still, turned, interleaved)
            if candidate is not None:
                candidate = replace(candidate, frequencies=self._refine(candidate, width))
                if self._agrees(candidate, width):
                    return replace(candidate, frequencies=candidate.frequencies.astype(np.float32))
        return None

    def _run(self, x: Array, positions: tuple[int, ...]) -> Array:
        """The region's result for x `[tokens, heads, width]`, in the same layout."""
        values: dict[str, Array] = {self.region.x: self._laid_out(x)}
        for ref, declared in self.factors.items():
            value = self.inputs[ref[1:]].at(self.positional, positions)
            extents = [len(positions) if d == SEQ else int(d) for d in declared.shape]
            values[ref] = value.reshape(extents)
        return self._token_major(self.region.run(values, len(positions)))

    def _laid_out(self, x: Array) -> Array:
        if len(self.shape) == 2:
            return x[:, 0]
        return x if self.axis == 0 else x.transpose(1, 0, 2)

    def _token_major(self, x: Array) -> Array:
        if len(self.shape) == 2:
            return x[:, None]
        return x if self.axis == 0 else x.transpose(1, 0, 2)

    @property
    def heads(self) -> int:
        return 1 if len(self.shape) == 2 else int(self.shape[1 - self.axis])

    def _matrix(self, position: int, width: int) -> Array:
        """M with result = x · M at one position."""
        units = np.broadcast_to(np.eye(width)[:, None, :], (width, self.heads, width))
        return self._run(np.ascontiguousarray(units), (position,) * width)[:, 0]

    def _refine(self, candidate: Rotation, width: int) -> Array:
        """Angles measured at ever larger positions: a table kept in f32 tells them only to its precision."""
        frequencies = candidate.frequencies
        position = 2
        while position <= self.probes[-1]:
            again = _read(self._matrix(0, width), self._matrix(position, width), candidate.attrs.interleaved)
            if again is None or again.attrs.rotary_dim != candidate.attrs.rotary_dim:
                break
            turns = np.rint((frequencies * position - again.frequencies) / (2 * np.pi))
            frequencies = (again.frequencies + 2 * np.pi * turns) / position
            position *= 4
        return frequencies

    def _agrees(self, candidate: Rotation, width: int) -> bool:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((len(self.probes), self.heads, width))
        expected = rope(
            candidate.attrs,
            x,
            np.asarray(self.probes),
            candidate.frequencies.astype(np.float32).astype(np.float64),
        )
        return bool(np.abs(self._run(x, self.probes) - expected).max() <= _TOLERANCE)


def _read(still: Array, turned: Array, interleaved: bool) -> Rotation | None:
    """The rotation whose matrix is `turned` (and `still` at position 0), by its entries; unverified."""
    width = len(turned)
    scale = float(still[0, 0])
    off = np.abs(turned - np.diag(np.diag(turned)))
    active = np.flatnonzero(off.max(0) > 0)
    if not len(active) or scale <= 0:
        return None
    rotary = int(active[-1]) + 1
    rotary += rotary % 2
    if rotary > width:
        return None
    first = np.arange(0, rotary, 2) if interleaved else np.arange(rotary // 2)
    second = first + (1 if interleaved else rotary // 2)
    frequencies = np.arctan2(turned[first, second], turned[first, first])
    # A scale that f32 code computed is a number of f32.
    return Rotation(RopeAttrs(rotary, interleaved, scale), frequencies)


def _replace(graph: Graph, found: Mapping[str, tuple[Region, Rotation]], positional: PositionValues) -> Graph:
    weights = list(graph.weights)
    types = {ref: t for ref, t in graph.types.items() if not graph.producer(ref)}
    builder = GraphBuilder(types, (n.name for n in graph.nodes))
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        builder.location = node.location
        if node.name not in found:
            builder.append(replace(node, operands=tuple(renamed.get(r, r) for r in node.operands)))
            continue
        region, rotation = found[node.name]
        table = positional.keep("rope.inv_freq", rotation.frequencies)
        if f"@{table}" not in builder.types:
            builder.types[f"@{table}"] = TensorType(rotation.frequencies.shape, DType.F32)
            weights.append(Weight(table, builder.types[f"@{table}"], table))
        renamed[node.ref] = _emit(builder, renamed.get(region.x, region.x), rotation, f"@{table}")
    outputs = tuple(renamed.get(r, r) for r in graph.outputs)
    return remove_dead(replace(graph, weights=tuple(weights), nodes=tuple(builder.nodes), outputs=outputs))


def _emit(builder: GraphBuilder, x: str, rotation: Rotation, table: str) -> str:
    shape = builder.shape(x)
    if len(shape) == 2:
        single = builder.reshape(x, (shape[0], 1, shape[1]))
        return builder.reshape(builder.emit("rope", [single, "%positions", table], rotation.attrs), shape)
    swap = (1, 0, 2) if sequence_axis(shape) == 1 else (0, 1, 2)
    turned = builder.emit("rope", [builder.transpose(x, swap), "%positions", table], rotation.attrs)
    return builder.transpose(turned, swap)
