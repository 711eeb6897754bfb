"""`cosyn compile`: a model becomes an artifact."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer

from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.console import Console
from cosyn.errors import CommandError
from cosyn.memory import peak_rss_bytes

if TYPE_CHECKING:
    from cosyn.codegen.compiler import CompileRequest

EXAMPLES = examples(
    ("a Hugging Face folder for this CPU", "cosyn compile ./TinyLlama --target cpu -o out"),
    ("4-bit weights, an 8-bit KV cache, at most 1024 tokens",
     "cosyn compile ./TinyLlama --recipe w4a16_g32_kv8 --max-seq 1024 -o out4"),
    ("programs, memory images and RTL for the accelerator `tiny`",
     "cosyn compile ./stories260K --target fpga:tiny --recipe w8a8 -o out"),
    ("a shape without weights, to measure it", "cosyn compile ./config.json --random-weights 0 -o shape"),
)  # fmt: skip


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A Hugging Face folder or hub name, a config.json (with --random-weights), or package.module:factory.",
            show_default=False,
        ),
    ],
    target: Annotated[str, typer.Option("--target", "-t", help="What to compile for: see `cosyn targets`.")] = "cpu",
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help="Compression: see `cosyn recipes`; default: what the checkpoint has."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The artifact; default: MODEL-TARGET-RECIPE."),
    ] = None,
    max_seq: Annotated[
        int | None,
        typer.Option(
            "--max-seq", min=1, help="Longest sequence, prompt and answer; default: what the model was trained for."
        ),
    ] = None,
    prefill_chunk: Annotated[
        int, typer.Option("--prefill-chunk", min=1, max=4096, help="Prompt tokens per step.")
    ] = 128,
    random_weights: Annotated[
        int | None,
        typer.Option("--random-weights", metavar="SEED", min=0, help="Random weights, no checkpoint needed."),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Attend to the last N tokens only (a ring-buffer KV cache)."),
    ] = None,
    sinks: Annotated[int, typer.Option("--sinks", min=0, help="With --window: and to the first N.")] = 0,
    block_mask: Annotated[
        Path | None,
        typer.Option("--block-mask", metavar="FILE", help="Static block mask per head: see docs/recipes.md."),
    ] = None,
    dump_ir: Annotated[
        Path | None, typer.Option("--dump-ir", metavar="DIR", help="Write the IR after each pass.")
    ] = None,
    stop_after: Annotated[
        str | None, typer.Option("--stop-after", metavar="PASS", help="Stop after this pass; no artifact.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the IR's rules between passes.")] = False,
    tuned: Annotated[
        Path | None,
        typer.Option("--tuned", metavar="FILE", help="Choices of `cosyn tune -o FILE`; default: this user's cache."),
    ] = None,
    no_tuned: Annotated[bool, typer.Option("--no-tuned", help="The default choices, whatever was measured.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Compile MODEL into an artifact: one folder that `cosyn run` needs nothing else for."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if sinks and window is None:
        raise CommandError("--sinks without --window", "sinks are what a window keeps besides its last tokens")
    if Path(model).is_file() and Path(model).suffix != ".json":
        hint = "give the folder with the checkpoint"
        raise CommandError(f"{model} is neither a model folder nor a config.json", hint)
    if Path(model).is_file() and random_weights is None and stop_after is None:
        hint = "give the folder with the checkpoint, or --random-weights SEED"
        raise CommandError(f"{model} is a configuration, without weights", hint)
    request = make_request(
        console, model, target, recipe, output,
        max_seq=max_seq, prefill_chunk=prefill_chunk, random_weights=random_weights, window=window,
        sinks=sinks, block_mask=block_mask, dump_ir=dump_ir, stop_after=stop_after, verify=verify,
    )  # fmt: skip
    _refuse_to_replace(request.output)
    if not no_tuned:
        request = _with_tuned_choices(console, request, tuned)

    from cosyn.codegen.compiler import compile_model

    begun = time.perf_counter()
    with console.steps() as progress:
        compiled = compile_model(request, progress)
    seconds = time.perf_counter() - begun
    peak = peak_rss_bytes()
    data: dict[str, object] = {
        "artifact": None if stop_after else str(request.output),
        "seconds": round(seconds, 3),
        "peak_rss_bytes": peak,
        "target": request.target.name,
        "recipe": request.recipe.name,
        "step_seconds": {name: round(s, 3) for name, s in progress.seconds.items()},
        "warnings": list(compiled.warnings),
    }
    for warning in compiled.warnings:
        console.log(f"warning: {warning}")
    if compiled.path is not None and not (compiled.path / "tokenizer.json").exists():
        console.log(f"note: {model} has no tokenizer.json, so this artifact takes token ids, from Python, not text")
    console.result(data, _lines(request, seconds, peak, stopped=compiled.path is None))


class _Options(TypedDict, total=False):
    """The options of a request that are passed on as they are."""

    max_seq: int | None
    prefill_chunk: int
    random_weights: int | None
    window: int | None
    sinks: int
    block_mask: Path | None
    dump_ir: Path | None
    stop_after: str | None
    verify: bool


def make_request(
    console: Console,
    model: str,
    target: str,
    recipe: str | None,
    output: Path | None,
    **options: Unpack[_Options],
) -> CompileRequest:
    """The compiler's request: names looked up, defaults chosen and said."""
    from cosyn.accelerator_target import resolve_target
    from cosyn.ir.hub import hub_folder, is_hub_name
    from cosyn.passes.recipe import load_recipe
    from cosyn.precision import own_recipe

    chosen_target = resolve_target(target)
    name = model_name(model)
    if is_hub_name(model):
        console.log(f"fetching {model} from the Hugging Face hub, unless its cache has it")
        model = str(hub_folder(model))
    if recipe is None:
        recipe, reason = own_recipe(model) if chosen_target.kind != "fpga" else ("w8a8", "the accelerator's default")
        console.found(f"{reason}: recipe {recipe}", "--recipe")
    chosen_recipe = load_recipe(recipe)
    if output is None:
        output = Path(f"{name}-{re.sub('[:/]', '-', chosen_target.name)}-{chosen_recipe.name}")
    allow_local_modules(model)
    # Late: it imports TVM and torch, which takes seconds, and a mistyped name should not wait for that.
    from cosyn.codegen.compiler import CompileRequest

    return CompileRequest(model, chosen_target, chosen_recipe, output, **options)


def _with_tuned_choices(console: Console, request: CompileRequest, file: Path | None) -> CompileRequest:
    """The request with what `cosyn tune` measured on this machine, said where there is any."""
    from cosyn.tuned_choices import tuned_choices

    if file is not None and not file.exists():
        raise CommandError(f"{file}: no such file", "make it with: cosyn tune MODEL -o FILE")
    choices, warning = tuned_choices(request.target, file)
    if warning:
        console.log(f"warning: {warning}")
    if choices is None:
        return request
    console.found(f"measured choices for {len(choices.kernels)} kernels of this machine", "--no-tuned")
    return replace(request, choices=choices)


def allow_local_modules(model: str) -> None:
    """Let `package.module:factory` name a module of the current folder, which a script does not see."""
    here = str(Path.cwd())
    if ":" in model and here not in sys.path:
        # Last, so that nothing here can take the place of an installed package.
        sys.path.append(here)


def model_name(model: str) -> str:
    """A folder-safe name for MODEL: the folder's, or the factory's."""
    path = Path(model)
    if path.suffix == ".json":
        stem = path.stem if path.stem != "config" else path.absolute().parent.name
    else:
        stem = path.absolute().name if path.exists() else model
    return re.sub(r"[^\w.-]+", "-", stem).strip("-") or "model"


def _refuse_to_replace(output: Path) -> None:
    """An older artifact may be replaced; anything else that lies there may not."""
    if output.is_dir() and any(output.iterdir()) and not (output / "manifest.json").exists():
        raise CommandError(f"{output} exists and is not an artifact", "give another folder with -o DIR")
    if output.exists() and not output.is_dir():
        raise CommandError(f"{output} exists and is not a folder", "give another folder with -o DIR")


def _lines(request: CompileRequest, seconds: float, peak: int, *, stopped: bool) -> list[str]:
    cost = f"{seconds:.1f} s, {peak / 2**30:.2f} GiB of memory at most"
    if stopped:
        return [f"stopped after {request.stop_after}: no artifact ({cost})"]
    size = sum(f.stat().st_size for f in request.output.rglob("*") if f.is_file())
    return [f"wrote {request.output} ({size / 1e6:.1f} MB) in {cost}"]
