"""`cosyn estimate`: latency, energy, fit and the bound per layer, from a configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cosyn.commands.compile import make_request
from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.console import Console, table
from cosyn.estimation import Estimate, Workload, check_workload, is_accelerator

EXAMPLES = examples(
    ("a token of this model on our accelerator for the Alveo U280",
     "cosyn estimate ./config.json --target fpga:u280 --recipe w4a8_g32"),
    ("after a prompt of 512 tokens, at one context", "cosyn estimate ./TinyLlama --target fpga:kv260 --context 512"),
    ("the roofline of a GPU, for a script",
     "cosyn estimate ./TinyLlama --target cuda:h200 --recipe fp16 --prompt-tokens 512 --new-tokens 256 --json"),
)  # fmt: skip

_FPGA_RECIPE = "w4a8_g32"


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="As in `compile`; a config.json is enough.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target", "-t", help="fpga:CONFIGURATION, a target of `cosyn targets`, or a YAML file of either."
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help=f"Compression: see `cosyn recipes`; default for fpga: {_FPGA_RECIPE}."),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", min=1, help="Length of the prompt.")] = 128,
    new_tokens: Annotated[int, typer.Option("--new-tokens", min=1, help="Tokens decoded after it.")] = 128,
    context: Annotated[
        int | None,
        typer.Option("--context", min=0, help="Decode at this many cached tokens; default: as the answer grows."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Estimate MODEL on a target that need not be here: nothing runs; weights are read for `_mixed` recipes alone."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    workload = Workload(prompt_tokens, new_tokens, context)
    accelerator = is_accelerator(target)
    if accelerator:
        from cosyn.accelerator_model.presets import load_config

        # Before the import, which takes seconds: a mistyped name should not wait for that.
        load_config(target.removeprefix("fpga:"))
        recipe = recipe or _FPGA_RECIPE
    # What follows until the kernels does not depend on the target.
    request = make_request(console, model, "cpu" if accelerator else target, recipe, Path())
    from cosyn.inspection import inspect_model

    if accelerator:
        from cosyn.codegen.fpga.compile_model import accelerator_config, usable_kept

        request = replace(request, kept=usable_kept(accelerator_config(target)))
    with console.steps() as progress:
        found = inspect_model(request, progress)
    check_workload(workload, found.graph.dims["seq"][1])
    if accelerator:
        from cosyn.estimation_fpga import estimate_fpga

        estimate = estimate_fpga(found.graph, target, workload)
    else:
        from cosyn.estimation_roofline import estimate_roofline

        estimate = estimate_roofline(found, request.target, request.recipe, workload)
    estimate = replace(estimate, notes=(*estimate.notes, *found.notes))
    data = {**estimate.as_json(), "model": found.graph.name, "recipe": request.recipe.name}
    console.result(data, _lines(estimate, found.graph.name, request.recipe.name, workload))


def _lines(estimate: Estimate, name: str, recipe: str, workload: Workload) -> Iterator[str]:
    decode = estimate.decode_seconds_per_token
    where = f"at context {workload.context}" if workload.context is not None else f"over {workload.new_tokens} tokens"
    yield f"{name}, {recipe}, on {estimate.target} (an estimate)"
    yield f"prefill of {workload.prompt_tokens} tokens: {_time(estimate.prefill_seconds)}"
    yield f"decode {where}: {_time(decode)} a token, {1 / decode:.1f} tokens/s"
    if estimate.bandwidth_share is not None:
        yield f"memory: {estimate.bandwidth_share:.1%} of its peak bandwidth"
    if estimate.energy_joules_per_token is not None:
        joules = estimate.energy_joules_per_token
        parts = ", ".join(f"{n} {v / joules:.0%}" for n, v in estimate.energy.items())
        yield f"energy: {joules:.3g} J a token, {joules / decode:.1f} W ({parts})"
    yield "fits" if estimate.fits else "does not fit:"
    yield from (f"  {problem}" for problem in estimate.problems)
    yield ""
    yield from table(("PART", "TIME", "BOUND BY", "TERMS"), _layer_rows(estimate))
    if estimate.resources:
        yield ""
        rows = [
            (n, f"{v['needed']:,.0f}", f"{v['available']:,.0f}", f"{v['needed'] / v['available']:.0%}")
            for n, v in estimate.resources.items()
        ]
        yield from table(("RESOURCE", "NEEDED", "AVAILABLE", "SHARE"), rows)
    yield ""
    yield from (f"note: {note}" for note in estimate.notes)


def _layer_rows(estimate: Estimate) -> Iterator[tuple[str, str, str, str]]:
    """Consecutive layers that take the same time are one row."""
    rows: list[list[str]] = []
    for layer in estimate.layers:
        terms = ", ".join(f"{n} {_time(s)}" for n, s in layer.terms.items() if s)
        cells = [_time(layer.seconds), layer.bound, terms]
        if rows and rows[-1][1:] == cells:
            rows[-1][0] = f"{rows[-1][0].partition(' to ')[0]} to {layer.name.removeprefix('layer ')}"
        else:
            rows.append([layer.name, *cells])
    return ((r[0], r[1], r[2], r[3]) for r in rows)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
