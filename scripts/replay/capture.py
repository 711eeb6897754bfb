"""The generated code of the examples as text, by kernel: `python -m scripts.replay.capture OUT.json [MODEL…]`.

A kernel is captured as its scheduled TensorIR, which says all that our code decides and nothing that a machine does;
OpenCL's kernels and host program as C, an accelerator's programs as assembly. Beside the kernels stand the launches,
the plan of the memory and the options of the code generator.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.compiler import CompileRequest, LoweredModel, lower_imported
from cosyn.codegen.fpga.compile_model import accelerator_config, usable_kept
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.manifest import program_json
from cosyn.codegen.program import Program
from cosyn.codegen.tvm.backend import Backend
from cosyn.codegen.tvm.backends import backend_for
from cosyn.codegen.tvm.build_program import build_program
from cosyn.codegen.tvm.relax_module import build_module
from cosyn.ir.dtype import DType
from cosyn.ir.frontend import ImportedModel, import_model
from cosyn.passes.recipe import load_recipe
from scripts.replay.examples import CHUNK, EXAMPLES, FPGA_STEPS, MAX_SEQ, MODELS, Example, target_of

Capture = dict[str, dict[str, str]]
"""Example → kernel (or another part of the artifact) → text."""

_FPGA = "fpga:"
_THREADS = 2


def capture(examples: tuple[Example, ...]) -> Capture:
    """The code of every example. Each model is imported once, and lowered once per recipe."""
    models: dict[str, ImportedModel] = {}
    lowered: dict[tuple[str, str, bool], LoweredModel] = {}
    out: Capture = {}
    for example in examples:
        fpga = example.target.startswith(_FPGA)
        key = (example.model, example.recipe, fpga)
        if example.model not in models:
            models[example.model] = _import(example.model)
        if key not in lowered:
            lowered[key] = _lower(models[example.model], example)
        out[str(example)] = _accelerator(lowered[key], example) if fpga else _tvm(lowered[key], example)
    return out


def _import(model: str) -> ImportedModel:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(MODELS[model]))
        return import_model(path, max_seq=MAX_SEQ)


def _lower(imported: ImportedModel, example: Example) -> LoweredModel:
    recipe, fpga = load_recipe(example.recipe), example.target.startswith(_FPGA)
    request = CompileRequest(
        example.model, target_of("x86-64-v4"), recipe, Path(), max_seq=MAX_SEQ, prefill_chunk=CHUNK
    )
    if fpga:
        kept = usable_kept(accelerator_config(example.target))
        request = replace(request, recipe=replace(recipe, kv=DType.I8), kept=kept)
    return lower_imported(imported, request)


def _tvm(lowered: LoweredModel, example: Example) -> dict[str, str]:
    # Code may be cut into as many parts as the compiling machine has threads.
    with mock.patch("os.cpu_count", return_value=_THREADS):
        backend = backend_for(target_of(example.target))
    built = build_program(lowered.graph, lowered.fusion, lowered.memory, backend, lowered.chunk)
    parts = {name: stable_names(str(function.script())) for name, function in built.kernels.items()}
    if example.target.startswith("opencl"):
        with tempfile.TemporaryDirectory() as folder:
            backend.build(built.program, build_module(built.program, built.kernels), Path(folder))
            text = (Path(folder) / "kernels.cl").read_text()
            parts |= {f"{name}.cl": body for name, body in _opencl_kernels(text).items()}
            parts["program.c"] = (Path(folder) / "program.c").read_text()
    if example.target.startswith(("x86", "aarch64")):
        parts["code generator"] = json.dumps(_options(backend), indent=1, sort_keys=True)
    return parts | _plans(built.program)


def stable_names(script: str) -> str:
    """A printed function whose free variables are numbered as they appear: TVM numbers them by their addresses."""
    declared = re.compile(r"^(\w+) = TypeVar\(.*\)\n", re.MULTILINE)
    free, body = set(declared.findall(script)), declared.sub("", script)
    numbers: dict[str, str] = {}
    name_used = re.compile(r"\b\w+\b(?!=)")  # not that of a keyword argument
    for name in name_used.findall(body):
        if name in free and name not in numbers:
            numbers[name] = f"free_{len(numbers)}"
    return name_used.sub(lambda word: numbers.get(word.group(), word.group()), body)


def _options(backend: Backend) -> dict[str, object]:
    attributes = backend.tvm_target.attrs
    return {k: sorted(map(str, v)) if k == "mattr" else str(v) for k, v in attributes.items()}


def _opencl_kernels(text: str) -> dict[str, str]:
    """Kernel → its text."""
    pieces = re.split(r"^(?=__kernel void )", text, flags=re.MULTILINE)
    named = {re.sub(r"^.*?(\w+)\(.*", r"\1", p.partition("{")[0], flags=re.DOTALL): p for p in pieces[1:]}
    return {"preamble": pieces[0], **named}


def _plans(program: Program) -> dict[str, str]:
    """Launches by entry point, a line each, and the plan of the memory."""
    description = program_json(program)
    plans = {}
    for entry in program.entry_points:
        lines = [f"{n.kernel}({', '.join(map(str, n.arguments))}) -> {', '.join(n.results)}" for n in entry.launches]
        plans[f"launches of {entry.name}"] = "\n".join(lines)
    plans["memory"] = json.dumps({"bytes": program.memory.arena_bytes, "offsets": description["offsets"]}, indent=1)
    return plans


def _accelerator(lowered: LoweredModel, example: Example) -> dict[str, str]:
    layout = Layout(make_plan(load_config(example.target.removeprefix(_FPGA)), lowered.graph, lowered.max_seq))
    parts = {}
    for tokens in FPGA_STEPS:
        for number, core in enumerate(compile_step(layout, tokens).program().cores):
            lines = [f"{i.assembly()}  ; {node}" for i, node in zip(core.instructions, core.nodes, strict=True)]
            parts[f"step of {tokens} tokens, core {number}"] = "\n".join(lines)
    return parts


def main() -> None:
    out, *models = sys.argv[1:]
    chosen = tuple(e for e in EXAMPLES if not models or e.model in models)
    Path(out).write_text(json.dumps(capture(chosen)))


if __name__ == "__main__":
    main()
