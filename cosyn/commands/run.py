"""`cosyn run`: an artifact writes text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosyn.commands.options import ArtifactDir, Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console, write_stream
from cosyn.errors import CommandError

if TYPE_CHECKING:
    from cosyn.runtime import Generation, LanguageModel, SamplingOptions

EXAMPLES = examples(
    ("continue a text, always with the likeliest token", 'cosyn run out --prompt "Once upon a time"'),
    ("draw instead, repeatably, and stop at a blank line",
     r"cosyn run out --prompt-file story.txt --temperature 0.8 --top-p 0.95 --seed 7 --stop $'\n\n'"),
    ("talk; the KV cache keeps what was said", 'cosyn run out --chat --system "Answer briefly."'),
)  # fmt: skip


def command(
    artifact: ArtifactDir,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="The text to continue.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompt-file", metavar="FILE", help="Read the prompt from a file; - is stdin.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Use the chat template; without --prompt: talk, line by line.")
    ] = False,
    system: Annotated[str | None, typer.Option("--system", help="With --chat: the system message.")] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", "-n", min=1, help="Most tokens to write.")] = 256,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="0: always the likeliest token; higher: more varied.")
    ] = 0.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Draw among the K likeliest; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option("--top-p", min=0.0, max=1.0, help="Draw among the likeliest that make up P.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option("--min-p", min=0.0, max=1.0, help="Drop tokens below P times the likeliest.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", min=0.01, help="Above 1: make tokens seen before less likely.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed draws the same text.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", help="Stop before this text; may be given again.", show_default=False)
    ] = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Write on after the end token.")] = False,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run an artifact: stream the text that the model writes after a prompt, or talk to it."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    text = _prompt(prompt, prompt_file)
    if text is None and not chat:
        raise CommandError("no prompt", "give --prompt TEXT, --prompt-file FILE, or --chat to talk")
    if text is None and as_json:
        raise CommandError("--json talks once, not line by line", "give --prompt TEXT beside --chat")
    if system is not None and not chat:
        raise CommandError("--system without --chat", "a system message is part of a conversation")


def _prompt(prompt: str | None, prompt_file: Path | None) -> str | None:
    if prompt_file is None:
        return prompt
    if prompt is not None:
        raise CommandError("--prompt and --prompt-file are two prompts", "give one of them")
    if str(prompt_file) == "-":
        return sys.stdin.read()
    try:
        return prompt_file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{prompt_file} is not UTF-8 text: {error.reason} at byte {error.start}") from error
