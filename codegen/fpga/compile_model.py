"""A lowered model becomes an accelerator artifact: programs, memory images, RTL, and what a host needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import program_bytes
from cosyn.codegen.fpga.description import STORED_TABLES, describe, table_uses
from cosyn.codegen.fpga.golden import write_golden
from cosyn.codegen.fpga.images import ImageBuilder, checksums
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.programs import ALIGNMENT, WINDOW_BYTES, StepSet, compile_steps
from cosyn.codegen.fpga.readme import fpga_readme
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.fpga.rtl_files import write_rtl
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator
from cosyn.passes.rtn import quantize_rtn
from cosyn.runtime.tensor_file import TensorSpec, write_tensors

Array = NDArray[Any]
_PREFIX = "fpga:"

LONGEST = 16
"""Tokens of the longest step: from eight on a step is bound by arithmetic, not by memory."""


class Progress(Protocol):
    """Told of each step as it begins."""

    def step(self, index: int, total: int, name: str) -> None: ...


def accelerator_config(target: str) -> AcceleratorConfig:
    """The configuration that a target `fpga:NAME` or `fpga:FILE.yaml` names."""
    return load_config(target.removeprefix(_PREFIX))


def usable_kept(config: AcceleratorConfig) -> tuple[int, ...]:
    """The N of N:16 sparsity that the configuration's chains can work on."""
    return tuple(n for n in config.kept if n <= config.chain_length)


def write_accelerator(
    folder: Path,
    config: AcceleratorConfig,
    graph: Graph,
    load: Callable[[str], Array],
    max_seq: int,
    longest: int,
    progress: Progress,
    first: int,
    total: int,
) -> dict[str, Any]:
    """Write everything but the manifest; returns its part of that. Steps have up to `longest` tokens.

    `first` and `total` number the steps told to `progress`. UnsupportedError, FitError.
    """
    progress.step(first, total, "place columns and memory")
    evaluator = ConstantEvaluator(graph, load)
    layout = Layout(make_plan(config, graph, max_seq, evaluator.get))
    progress.step(first + 1, total, "schedule programs")
    steps = compile_steps(layout, min(longest, LONGEST))
    progress.step(first + 2, total, "pack the weights")
    images = _write_images(folder, layout, evaluator)
    _write_tables(folder, layout, evaluator)
    progress.step(first + 3, total, "write programs and RTL")
    _write_programs(folder, layout, steps, images)
    description = describe(layout, steps)
    (folder / "accelerator.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    channel = max(m.stripes for m in layout.maps) * config.channel_bytes
    rtl = write_rtl(folder, config, max(WINDOW_BYTES, 1 << (channel - 1).bit_length()))
    golden = write_golden(folder, layout, load, steps.tokens)
    (folder / "README.md").write_text(fpga_readme(config, description, rtl, golden=golden), encoding="utf-8")
    return _manifest_part(config, layout, steps, description)


def _write_images(folder: Path, layout: Layout, evaluator: ConstantEvaluator) -> Mapping[int, Array]:
    """One file per core: its memory up to the last constant; what follows is zero. Returns them mapped."""
    target = folder / "images"
    target.mkdir()
    images: dict[int, np.memmap[Any, np.dtype[np.uint8]]] = {}
    for core, memory in enumerate(layout.maps):
        constant = [r for r in memory.regions.values() if r.kind != "cache"]
        stripes = max(r.address + r.stripes for r in constant)
        shape = (stripes, layout.plan.config.stripe_bytes)
        images[core] = np.memmap(target / f"core{core}.bin", np.uint8, "w+", shape=shape)
    for core, region, data in ImageBuilder(layout, evaluator.get, quantize_rtn).regions():
        images[core][region.address : region.address + region.stripes] = data
    for image in images.values():
        image.flush()
    return images


def _write_tables(folder: Path, layout: Layout, evaluator: ConstantEvaluator) -> None:
    uses = {use.table: use for use in table_uses(layout.plan.graph, layout.plan.roles.inputs)}
    types = layout.plan.graph.types
    specs = [TensorSpec(ref, tuple(int(d) for d in types[ref].shape), STORED_TABLES[types[ref].dtype]) for ref in uses]

    def load(spec: TensorSpec) -> Array:
        kind = np.float16 if spec.dtype == "f16" else np.float32
        return np.ascontiguousarray(evaluator.get(spec.name).astype(kind))

    write_tensors(folder / "embeddings.safetensors", specs, load)


def _write_programs(folder: Path, layout: Layout, steps: StepSet, images: Mapping[int, Array]) -> None:
    """`step_<m>.bin` (with block masks `step_<m>_from_<position>.bin`): a program with its node names; `core<c>.bin`:
    the instruction memory of a core.
    """
    target = folder / "programs"
    target.mkdir()
    sums = checksums(layout, images)
    memories: list[bytearray] = [bytearray() for _ in layout.maps]
    for program in steps.programs:
        streams = program.step.streams(sums)
        whole = program_bytes(program.step.tokens, streams, program.step.nodes)
        (target / f"{program.name}.bin").write_bytes(whole)
        for memory, stream in zip(memories, streams, strict=True):
            memory += stream
            memory += bytes(-len(memory) % ALIGNMENT)
    for core, memory in enumerate(memories):
        (target / f"core{core}.bin").write_bytes(memory)


def _manifest_part(
    config: AcceleratorConfig, layout: Layout, steps: StepSet, description: dict[str, Any]
) -> dict[str, Any]:
    graph = layout.plan.graph
    stripe = config.stripe_bytes
    weights = sum(r.stripes for m in layout.maps for r in m.regions.values() if r.kind in ("weights", "parameters"))
    largest = steps.of(steps.tokens[-1])
    return {
        "arena": {
            "bytes": max(p.step.vector_lines for p in largest) * config.line_bytes * config.cores,
            "lower_bound_bytes": 0,
        },
        "entry_points": [
            {
                "name": f"step_{m}", "max_seq": m, "max_out": m,
                "kernels": max(sum(p.step.instructions) for p in steps.of(m)),
            }
            for m in steps.tokens
        ],
        "states": [
            {
                # Every position has a place of its own, also where attention has a window.
                "name": s.name, "n_kv_heads": s.n_kv_heads, "head_dim": s.head_dim, "v_dim": s.v_dim,
                "dtype": "i8", "window": 0, "sinks": 0,
            }
            for s in graph.states
        ],
        "weights": [],
        "bytes_per_token": {
            "weights": weights * stripe,
            "kv_per_position": sum(s.n_kv_heads * (s.head_dim + s.v_dim + 8) for s in graph.states),
        },
        "accelerator": {
            "configuration": config.name,
            "config_hash": config_hash(config),
            "programs": {str(m): steps.instructions(m) for m in steps.tokens},
            "pieces_of_linears": {str(m): steps.of(m)[0].step.pieces for m in steps.tokens},
            "instruction_bytes": description["instructions"],
            "memory_bytes": [m.stripes * stripe for m in layout.maps],
        },
    }  # fmt: skip
