"""`cosyn verify`: every kernel of an artifact against the reference meaning in float64."""

from __future__ import annotations

from typing import Annotated

import typer

from cosyn.commands.options import ArtifactDir, Json, Quiet, Verbose, examples
from cosyn.console import Console

EXAMPLES = examples(
    ("compare every layer with the reference", "cosyn verify out"),
    ("with a longer prompt, across two prefill steps", "cosyn verify out --prompt-tokens 140"),
    ("against a model folder that has moved", "cosyn verify out --model ./TinyLlama --json"),
)


def command(
    artifact: ArtifactDir,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Where the model is now; default: the manifest's.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", min=1, help="Length of the prompt.")] = 12,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Compare every layer of an artifact with the reference semantics in float64; name the first that diverges."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
