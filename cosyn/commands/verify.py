"""`cosyn verify`: every kernel of an artifact against the reference meaning, or its RTL against the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cosyn.commands.compile import allow_local_modules
from cosyn.commands.options import ArtifactDir, Json, Quiet, Verbose, examples
from cosyn.console import Console, table

if TYPE_CHECKING:
    from cosyn.verification import VerifyReport

EXAMPLES = examples(
    ("compare every layer with the reference", "cosyn verify out"),
    ("with a longer prompt, across two prefill steps", "cosyn verify out --prompt-tokens 140"),
    ("an accelerator's RTL against the simulator, with 4 decoded tokens", "cosyn verify out --decode-tokens 4"),
    ("against a model folder that has moved", "cosyn verify out --model ./TinyLlama --json"),
)


def command(
    artifact: ArtifactDir,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Where the model is now; default: the manifest's."),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", min=1, help="Length of the prompt.")] = 12,
    decode_tokens: Annotated[
        int, typer.Option("--decode-tokens", min=0, help="Accelerators: tokens to decode after the prompt.")
    ] = 1,
    simulator: Annotated[
        str, typer.Option("--simulator", metavar="NAME", help="Accelerators: verilator or icarus (slow).")
    ] = "verilator",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Compare every layer with the reference semantics in float64; name the first that diverges.

    An accelerator's RTL runs in lockstep with the cycle simulator: every instruction's writes and every logit must be
    the same, and the cycles of both and of the estimate are listed by class and layer.
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    from cosyn.runtime.loader import open_artifact

    opened = open_artifact(artifact)
    from cosyn.verification import model_weights, random_prompt, verify_artifact

    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    allow_local_modules(model or str(manifest["model"]["source"]))
    prompt = random_prompt(opened.manifest.model, prompt_tokens)
    if opened.manifest.target.device == "fpga":
        from cosyn.accelerator_verification import chosen_simulator, verify_accelerator
        from cosyn.commands.verify_accelerator import data, lines

        chosen = chosen_simulator(simulator)
        with console.steps() as progress:
            checked = verify_accelerator(opened, prompt, decode_tokens, progress, chosen)
        console.result(data(checked), lines(checked, verbose))
        if not checked.agrees:
            raise typer.Exit(1)
        return
    load = model_weights(opened, manifest, model)
    with console.steps() as progress:
        report = verify_artifact(opened, load, prompt, progress)
    console.result(_data(report), _lines(report, verbose))
    if report.mismatches:
        raise typer.Exit(1)


def _data(report: VerifyReport) -> dict[str, object]:
    first = report.first_divergence
    return {
        "checked": report.checked,
        "mismatches": len(report.mismatches),
        "largest_error": report.largest_error,
        "first_divergence": None if first is None else asdict(first),
    }


def _lines(report: VerifyReport, verbose: int) -> Iterator[str]:
    first = report.first_divergence
    shown = report.comparisons if verbose else report.mismatches[:10]
    if shown:
        rows = [(c.entry, c.layer, c.group, c.result, f"{c.error:.2e}", f"{c.tolerance:.0e}") for c in shown]
        yield from table(("STEP", "LAYER", "KERNEL", "RESULT", "ERROR", "ALLOWED"), rows)
    if first is None:
        yield f"{report.checked} results agree with the reference; largest error {report.largest_error:.1e}"
        return
    where = first.layer or "outside any layer"
    yield f"{len(report.mismatches)} of {report.checked} results differ; the first: {first.group} in {where}"
