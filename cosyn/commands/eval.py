"""`cosyn eval`: perplexity of an artifact on a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cosyn.commands.options import ArtifactDir, Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console

EXAMPLES = examples(
    ("perplexity on a text", "cosyn eval out --text held_out.txt"),
    ("a quick look: the first 1000 tokens", "cosyn eval out --text held_out.txt --max-tokens 1000"),
    ("what a recipe costs, for a script", "cosyn eval out4 --text held_out.txt --json"),
)


def command(
    artifact: ArtifactDir,
    text: Annotated[Path, typer.Option("--text", metavar="FILE", help="UTF-8 text.", show_default=False)],
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=2, help="Only the first N tokens.")] = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Measure how well an artifact predicts a text: perplexity, lower is better."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
