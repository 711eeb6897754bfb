"""Models lowered for an accelerator, and their programs on the functional simulator beside the graph reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.program import Program
from cosyn.accelerator_model.reference.model import ReferenceModel
from cosyn.accelerator_model.reference.weights import QuantizedWeights
from cosyn.accelerator_model.simulator.machine import Machine
from cosyn.codegen.fpga.compile_step import CompiledStep, compile_step
from cosyn.codegen.fpga.description import table_uses
from cosyn.codegen.fpga.images import ImageBuilder, checksums
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.frontend import import_model
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator
from cosyn.ir.parser import parse
from cosyn.ir.printer import print_graph
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from cosyn.passes.rtn import quantize_rtn
from cosyn.passes.sparse_attention import BlockMask

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

MASK_KEY = "mask"


def lowered(folder: Path, recipe: str, max_seq: int, **options: Any) -> tuple[Graph, Any]:
    """The graph after the passes, with further `Options`, and the model that it came from."""
    model = import_model(str(folder), max_seq=max_seq)
    graph, _ = run_passes(model.graph, passes(Options(load_recipe(recipe), **options), max_seq))
    return graph, model


class Compared:
    """One sequence on the functional simulator and on the reference."""

    def __init__(
        self,
        folder: Path,
        config: AcceleratorConfig,
        recipe: str = "w8a8",
        max_seq: int = 64,
        pieces: int = 1,
        mask: Mask | None = None,
        block: int = 0,
        more: Mapping[str, Mask] | None = None,
        edit: Callable[[str], str] | None = None,
        **options: Any,
    ) -> None:
        """`mask` u8 [heads, rows, rows] of `block` positions: a block mask. `edit` changes the graph's text, in which
        it may use weights `more`.
        """
        self.config, self.pieces = config, pieces
        if mask is not None:
            options["block_mask"] = BlockMask(MASK_KEY, len(mask), mask.shape[1], block)
        self.graph, model = lowered(folder, recipe, max_seq, **options)
        if edit is not None:
            self.graph = parse(edit(print_graph(self.graph)))
        added = {**(more or {}), MASK_KEY: mask}

        def load(key: str) -> Any:
            return added[key] if key in added else model.weights.load(key)

        self._evaluator = ConstantEvaluator(self.graph, load)
        self.layout = Layout(make_plan(config, self.graph, max_seq, self._evaluator.get))
        weights = QuantizedWeights(self.graph, load, quantize_rtn)
        self.reference = ReferenceModel(self.graph, weights, config.lanes)
        self._compiled: dict[tuple[int, int], CompiledStep] = {}
        self._programs: dict[tuple[int, int], Program] = {}
        self.position = 0

    @cached_property
    def images(self) -> Any:
        return ImageBuilder(self.layout, self._evaluator.get, quantize_rtn).build()

    @cached_property
    def machine(self) -> Machine:
        return Machine(self.config, self.images)

    def compiled(self, tokens: int, position: int = 0) -> CompiledStep:
        key = tokens, self.layout.span_at(position)
        if key not in self._compiled:
            self._compiled[key] = compile_step(self.layout, tokens, self.pieces, span=key[1])
        return self._compiled[key]

    def program(self, tokens: int, position: int = 0) -> Program:
        key = tokens, self.layout.span_at(position)
        if key not in self._programs:
            self._programs[key] = self.compiled(tokens, position).program(checksums(self.layout, self.images))
        return self._programs[key]

    def room(self) -> int:
        """Tokens of the longest step that fits the span of the next position."""
        return self.layout.plan.spans[self.layout.span_at(self.position)].last + 1 - self.position

    def step(self, tokens: Sequence[int]) -> tuple[Floats, Floats]:
        """Logits of the last token: by the program, and by the reference."""
        self._write_inputs(tokens)
        registers = self.layout.registers(self.position, len(tokens))
        self.machine.run(self.program(len(tokens), self.position), registers, timing=False)
        self.position += len(tokens)
        return self._logits(), self.reference.step(tokens, rows=[len(tokens) - 1])[0]

    def _write_inputs(self, tokens: Sequence[int]) -> None:
        for use in table_uses(self.graph, self.layout.plan.roles.inputs):
            table = np.asarray(self._evaluator.get(use.table)).astype(np.float32)
            numbers = self.position + np.arange(len(tokens)) + use.offset if use.by_position else np.array(tokens)
            stripes = self.layout.input_row_stripes[use.node.name]
            rows = np.zeros((len(tokens), stripes * self.config.stripe_bytes // 4), np.float32)
            rows[:, : table.shape[1]] = table[numbers]
            data = rows.view(np.uint8).reshape(-1, self.config.stripe_bytes)
            for core in range(self.config.cores):
                first = self.layout.region(core, f"input {use.node.name}").address
                self.machine.memory(core)[first : first + len(data)] = data

    def _logits(self) -> Floats:
        output = self.graph.outputs[0]
        logits = np.zeros(int(self.graph.types[output].shape[-1]), np.float32)
        for core, columns in enumerate(self.layout.plan.placements[output].cores):
            region = self.layout.region(core, "logits")
            raw = self.machine.memory(core)[region.address : region.address + region.stripes]
            words = np.ascontiguousarray(raw).reshape(-1).view(np.float32)[: len(columns)]
            logits[columns[columns >= 0]] = words[columns >= 0]
        return logits


def same_bits(first: Floats, second: Floats) -> bool:
    """Whether two arrays are equal in every bit."""
    return np.array_equal(first.view(np.uint32), second.view(np.uint32))
