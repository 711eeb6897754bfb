"""A step of a model with random weights, after a context that is already in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.program import Program
from cosyn.accelerator_model.reference import CacheContent, RandomWeights, ReferenceModel
from cosyn.codegen.fpga.cache_image import cache_regions
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.description import table_uses
from cosyn.codegen.fpga.images import ImageBuilder, checksums
from cosyn.codegen.fpga.memory_map import Region
from cosyn.codegen.fpga.regions import Layout

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
CONSTANT = ("weights", "parameters", "table", "mask")
"""Kinds of regions that no step changes."""

_CODE_SPREAD = 73.3
"""Standard deviation of codes that are uniform over -127..127."""


class RandomStep:
    """The step of `tokens` from `position` on; the cache holds random keys and values for all positions before it."""

    def __init__(
        self, layout: Layout, load: Callable[[str], Any], position: int, tokens: Sequence[int], seed: int
    ) -> None:
        """`load` gives the weights that are not quantized, by their key. One token is a decode step."""
        self.layout, self.config, self.graph = layout, layout.plan.config, layout.plan.graph
        self.position, self.tokens, self.seed = position, tuple(tokens), seed
        self.weights = RandomWeights(self.graph, load, seed)

    @cached_property
    def caches(self) -> dict[str, CacheContent]:
        """Content of each layer's cache, of about unit variance."""
        return {state.name: self._cache(number) for number, state in enumerate(self.graph.states)}

    def _cache(self, number: int) -> CacheContent:
        state = self.graph.states[number]
        rng = np.random.default_rng([self.seed, number])
        shape = (state.n_kv_heads, self.position)
        parts: list[Any] = []
        for width in (state.head_dim, state.v_dim):
            parts.append(rng.integers(-127, 128, (*shape, width), np.int8))
            parts.append((rng.uniform(0.5, 1.5, shape) / _CODE_SPREAD).astype(np.float32))
        return CacheContent(*parts)

    @property
    def registers(self) -> dict[int, int]:
        """What the host writes before the step."""
        return self.layout.registers(self.position, len(self.tokens))

    def constants(self) -> Iterator[tuple[int, Region, Bytes]]:
        """Core, region and stripes of weights, parameters and tables."""
        yield from ImageBuilder(self.layout, self.weights.values, None, self.weights.stored).regions()

    def variables(self) -> Iterator[tuple[int, Region, Bytes]]:
        """The same of everything else: the cache, what the host writes, and zeros where the logits will be."""
        given = (*cache_regions(self.layout, self.caches), *self._inputs())
        filled = {(core, region.name): data for core, region, data in given}
        for core, memory in enumerate(self.layout.maps):
            for region in memory.regions.values():
                if region.kind not in CONSTANT:
                    zeros = np.zeros((region.stripes, self.config.stripe_bytes), np.uint8)
                    data = filled.get((core, region.name), zeros)
                    zeros[: len(data)] = data
                    yield core, region, zeros

    def _inputs(self) -> Iterator[tuple[int, Region, Bytes]]:
        width = self.config.stripe_bytes // 4
        for use in table_uses(self.graph, self.layout.plan.roles.inputs):
            positions = self.position + use.offset + np.arange(len(self.tokens))
            rows = self.weights.values(use.table)[positions if use.by_position else list(self.tokens)]
            words = np.zeros((len(rows), self.layout.input_row_stripes[use.node.name] * width), np.float32)
            words[:, : rows.shape[1]] = rows
            for core in range(self.config.cores):
                region = self.layout.region(core, f"input {use.node.name}")
                yield core, region, words.view(np.uint8).reshape(-1, self.config.stripe_bytes)

    def program(self, memories: list[Bytes]) -> Program:
        """The program, with the checksums of the constants in `memories`."""
        step = compile_step(self.layout, len(self.tokens), span=self.layout.span_at(self.position))
        return step.program(checksums(self.layout, dict(enumerate(memories))))

    def reference_logits(self) -> Floats:
        """Of the last token: what the graph means in the accelerator's arithmetic, with no program and no memory."""
        model = ReferenceModel(self.graph, self.weights, self.config.lanes)
        model.resume(self.caches)
        logits: Floats = model.step(self.tokens, rows=[len(self.tokens) - 1])[0]
        return logits

    def logits(self, memories: list[Bytes]) -> Floats:
        """The logits that a program has stored."""
        output = self.graph.outputs[0]
        logits = np.zeros(int(self.graph.types[output].shape[-1]), np.float32)
        for core, columns in enumerate(self.layout.plan.placements[output].cores):
            region = self.layout.region(core, "logits")
            raw = np.ascontiguousarray(memories[core][region.address : region.address + region.stripes])
            words = raw.reshape(-1).view(np.float32)[: len(columns)]
            logits[columns[columns >= 0]] = words[columns >= 0]
        return logits
