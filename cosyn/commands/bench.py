"""`cosyn bench`: speed of an artifact on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cosyn.commands.options import ArtifactDir, Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console

EXAMPLES = examples(
    ("prefill, decode, and the share of this machine's bandwidth", "cosyn bench out"),
    ("prompts of two lengths, decode after 0 and 1024 tokens",
     "cosyn bench out --prompt-tokens 128 --prompt-tokens 512 --context 0 --context 1024"),
    ("on two threads, seven times, for a script", "cosyn bench out --threads 2 --repeats 7 --json"),
)  # fmt: skip


def command(
    artifact: ArtifactDir,
    prompt_tokens: Annotated[
        list[int] | None,
        typer.Option("--prompt-tokens", min=1, help="Length of a prompt; may be given again.", show_default="128"),
    ] = None,
    new_tokens: Annotated[int, typer.Option("--new-tokens", min=1, help="Tokens decoded per run.")] = 64,
    context: Annotated[
        list[int] | None,
        typer.Option("--context", min=0, help="Cached tokens before decoding; may be given again.", show_default="0"),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs; the median counts.")] = 5,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Measure prefill and decode, and the share of this machine's measured read bandwidth that decode reaches."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
