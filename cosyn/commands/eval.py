"""`cosyn eval`: perplexity of an artifact on a text."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer

from cosyn.commands.options import ArtifactDir, Engine, Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console
from cosyn.errors import CommandError

EXAMPLES = examples(
    ("perplexity on a text", "cosyn eval out --text held_out.txt"),
    ("a quick look: the first 1000 tokens", "cosyn eval out --text held_out.txt --max-tokens 1000"),
    ("documents apart, the first 512 tokens of each, for a script",
     "cosyn eval out --text stories.txt --window 512 --first-window --json"),
)  # fmt: skip


def command(
    artifact: ArtifactDir,
    text: Annotated[
        Path,
        typer.Option("--text", metavar="FILE", help="UTF-8 text; <|endoftext|> divides documents.", show_default=False),
    ],
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=2, help="Only the first N tokens.")] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=2, help="Tokens seen at once; default: the artifact's context."),
    ] = None,
    first_window: Annotated[
        bool, typer.Option("--first-window", help="Only the first window of each document.")
    ] = False,
    engine: Engine = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Measure how well an artifact predicts a text: perplexity, lower is better."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    try:
        content = text.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{text} is not UTF-8 text: {error.reason} at byte {error.start}"
        raise CommandError(message, "convert it to UTF-8") from error

    from cosyn.engines import load_model
    from cosyn.runtime.perplexity import documents, evaluate

    model = load_model(artifact, engine, threads)
    parts = documents(content)
    begun = time.perf_counter()
    with console.steps() as progress:
        progress.step(1, 1, f"score {text.name}")
        found = evaluate(model, parts, window=window, first_window_only=first_window, max_tokens=max_tokens)
    seconds = time.perf_counter() - begun
    data: dict[str, object] = {
        "perplexity": found.perplexity,
        "tokens": found.tokens,
        "bits_per_token": found.nll_per_token / math.log(2),
        "documents": len(parts),
        "seconds": round(seconds, 3),
    }
    console.result(data, [f"perplexity {found.perplexity:.4f} over {found.tokens} tokens ({seconds:.1f} s)"])
