"""The main job: a model becomes an artifact."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from cosyn.codegen.artifact import check_scratch_room, copy_tokenizer, staged_folder, write_manifest
from cosyn.codegen.artifact_readme import artifact_readme
from cosyn.codegen.block_mask import KEY, LoadedMask, read_block_mask
from cosyn.codegen.fpga.compile_model import accelerator_config, usable_kept, write_accelerator
from cosyn.codegen.manifest import FORMAT, program_json, program_manifest
from cosyn.codegen.pack_weights import WeightPacker
from cosyn.codegen.tvm.backends import backend_for
from cosyn.codegen.tvm.build_program import BuiltProgram, build_program
from cosyn.codegen.tvm.choice_table import ChoiceTable
from cosyn.codegen.tvm.kernel_listing import served_kernels
from cosyn.codegen.tvm.relax_module import build_module
from cosyn.ir.dtype import DType
from cosyn.ir.frontend import ImportedModel, import_model
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator
from cosyn.ir.printer import print_graph
from cosyn.ir.weight_format import KEPT
from cosyn.ir.weights import has_values
from cosyn.passes.fuse import FusionPlan, fuse
from cosyn.passes.pipeline import Options, PassRecord, dump_to, passes, run_passes
from cosyn.passes.plan_memory import MemoryPlan, plan_memory
from cosyn.passes.recipe import Recipe
from cosyn.runtime.tensor_file import write_tensors
from cosyn.targets.target import Target

Array = npt.NDArray[Any]

_STEPS = 7


class Progress(Protocol):
    """Told of each step of a compilation as it begins."""

    def step(self, index: int, total: int, name: str) -> None: ...


@dataclass(frozen=True)
class CompileRequest:
    """Everything that a compilation depends on. `max_seq` None: what the model was made for.

    `kept`: the N of N:16 sparsity that a recipe with a density may choose. `choices`: what `cosyn tune` measured.
    """

    model: str
    target: Target
    recipe: Recipe
    output: Path
    max_seq: int | None = None
    prefill_chunk: int = 128
    random_weights: int | None = None
    window: int | None = None
    sinks: int = 0
    block_mask: Path | None = None
    dump_ir: Path | None = None
    stop_after: str | None = None
    verify: bool = False
    kept: tuple[int, ...] = KEPT
    choices: ChoiceTable | None = None


@dataclass(frozen=True)
class LoweredModel:
    """A model after the passes: the graph and the plans that code generation follows."""

    imported: ImportedModel
    graph: Graph
    fusion: FusionPlan
    memory: MemoryPlan
    records: tuple[PassRecord, ...]
    max_seq: int
    chunk: int
    mask: LoadedMask | None = None

    def load(self, key: str) -> Array:
        """A tensor of the checkpoint, or the block mask that was given beside it."""
        if self.mask is not None and key == KEY:
            return self.mask.values
        return self.imported.weights.load(key)


@dataclass(frozen=True)
class CompileResult:
    """Where the artifact lies (None after `stop_after`), its manifest, and what one should know before using it."""

    path: Path | None
    manifest: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def lower_model(request: CompileRequest, progress: Progress) -> LoweredModel:
    """Import the model and run the passes: the part that every target shares."""
    progress.step(1, _STEPS, "import the model")
    imported = import_model(request.model, random_weights=request.random_weights, max_seq=request.max_seq)
    progress.step(2, _STEPS, "run the passes")
    return lower_imported(imported, request)


def lower_imported(imported: ImportedModel, request: CompileRequest) -> LoweredModel:
    """Run the passes over a model that is imported already, as `request` asks."""
    max_seq = imported.max_seq
    chunk = min(request.prefill_chunk, max_seq)
    mask = read_block_mask(request.block_mask) if request.block_mask else None
    weights = imported.weights.load if has_values(imported.weights) else None
    options = Options(
        request.recipe, chunk, request.window or 0, request.sinks, mask.mask if mask else None, weights, request.kept
    )
    graph, records = run_passes(
        imported.graph,
        passes(options, max_seq),
        after=dump_to(request.dump_ir) if request.dump_ir else None,
        stop_after=request.stop_after,
        verify=request.verify,
    )
    fusion = fuse(graph)
    memory = plan_memory(graph, fusion, {"seq": chunk, "out": chunk})
    return LoweredModel(imported, graph, fusion, memory, records, max_seq, chunk, mask)


def compile_model(request: CompileRequest, progress: Progress) -> CompileResult:
    """Compile `request.model` into the folder `request.output`; nothing is left there if it fails."""
    if request.target.kind == "fpga":
        return _compile_for_accelerator(request, progress)
    backend = backend_for(request.target)
    backend.check_tools()
    check_scratch_room()
    lowered = lower_model(request, progress)
    if request.stop_after is not None:
        return CompileResult(None)
    progress.step(3, _STEPS, "lower and schedule kernels")
    built = build_program(lowered.graph, lowered.fusion, lowered.memory, backend, lowered.chunk, request.choices)
    with staged_folder(request.output) as folder:
        progress.step(4, _STEPS, "generate code")
        target = backend.build(built.program, build_module(built.program, built.kernels), folder)
        progress.step(5, _STEPS, "pack the weights")
        packer = _write_weights(lowered, built, folder)
        progress.step(6, _STEPS, "write the artifact")
        copy_tokenizer(lowered.imported.folder, folder)
        (folder / "graph.ir").write_text(print_graph(lowered.graph), encoding="utf-8")
        (folder / "program.json").write_text(json.dumps(program_json(built.program), indent=1), encoding="utf-8")
        manifest = _manifest(request, lowered, built, packer, target)
        (folder / "README.md").write_text(artifact_readme(manifest), encoding="utf-8")
        write_manifest(folder, manifest)
        progress.step(7, _STEPS, "move it into place")
    return CompileResult(request.output, manifest, _warnings(lowered))


def _warnings(lowered: LoweredModel) -> tuple[str, ...]:
    trained, longest = lowered.imported.trained_positions, lowered.max_seq
    if trained is None or longest <= trained:
        return ()
    return (
        f"a longest sequence of {longest} is more than the {trained} positions that {lowered.imported.name} was trained"
        f" for (its max_position_embeddings); it runs, but what it writes beyond position {trained} is seldom of use",
    )


def _compile_for_accelerator(request: CompileRequest, progress: Progress) -> CompileResult:
    """The same graph as programs and memory images for the accelerator; its cache is INT8 whatever the recipe says."""
    # Before the import, which takes seconds: a mistyped name should not wait for that.
    config = accelerator_config(request.target.name)
    request = replace(request, recipe=replace(request.recipe, kv=DType.I8), kept=usable_kept(config))
    lowered = lower_model(request, progress)
    if request.stop_after is not None:
        return CompileResult(None)
    with staged_folder(request.output) as folder:
        part = write_accelerator(
            folder, config, lowered.graph, lowered.load, lowered.max_seq, lowered.chunk, progress, 3, _STEPS
        )
        copy_tokenizer(lowered.imported.folder, folder)
        (folder / "graph.ir").write_text(print_graph(lowered.graph), encoding="utf-8")
        manifest: dict[str, object] = {
            "format": FORMAT,
            "cosyn_version": version("cosyn"),
            **part,
            **_origin(request, lowered, lowered.graph.outputs[0], {"device": "fpga"}),
        }
        write_manifest(folder, manifest)
        progress.step(_STEPS, _STEPS, "move it into place")
    return CompileResult(request.output, manifest, _warnings(lowered))


def _write_weights(lowered: LoweredModel, built: BuiltProgram, folder: Path) -> WeightPacker:
    evaluator = ConstantEvaluator(lowered.graph, lowered.load)
    packer = WeightPacker(built.program, built.layouts, evaluator)
    write_tensors(folder / "weights.safetensors", packer.specs, packer.loader())
    return packer


def _manifest(
    request: CompileRequest,
    lowered: LoweredModel,
    built: BuiltProgram,
    packer: WeightPacker,
    target: dict[str, object],
) -> dict[str, object]:
    return {
        **program_manifest(built.program, packer.specs),
        "kernels": [k.to_json() for k in served_kernels(built)],
        **_origin(request, lowered, built.program.output, target),
    }


def _origin(
    request: CompileRequest, lowered: LoweredModel, output: str, target: dict[str, object]
) -> dict[str, object]:
    """What the artifact was made from, and for."""
    imported = lowered.imported
    return {
        "model": {
            "name": imported.name,
            "architecture": imported.architecture,
            "source": request.model,
            "vocab_size": int(lowered.graph.types[output].shape[-1]),
            "n_layers": len(lowered.graph.states),
            "hidden_size": imported.hidden_size,
            "max_seq": lowered.max_seq,
            "bos_token_id": imported.bos_token_id,
            "eos_token_ids": list(imported.eos_token_ids),
            "random_weights": request.random_weights,
        },
        "recipe": {
            "name": request.recipe.name,
            "activations": request.recipe.activations,
            "kv": request.recipe.kv.value,
            "density": request.recipe.density or None,
            "formats": _formats(lowered.graph),
        },
        "options": {
            "prefill_chunk": lowered.chunk,
            "window": request.window,
            "sinks": request.sinks,
            "block_mask": str(request.block_mask) if request.block_mask else None,
        },
        "target": {"name": request.target.name, "kind": request.target.kind, **target},
        "passes": [{"name": r.name, "nodes": r.nodes, "constants": r.constants} for r in lowered.records],
    }


def _formats(graph: Graph) -> dict[str, str]:
    """How each quantized weight is stored, by name: groups that did not fit were replaced, so say what was done."""
    return {ref: str(kind.format) for ref, kind in graph.types.items() if kind.format is not None}
