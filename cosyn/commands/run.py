"""`cosyn run`: an artifact writes text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack, cast

import typer

from cosyn.commands.options import ArtifactDir, Engine, HugePages, Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console, write_stream
from cosyn.errors import CommandError

if TYPE_CHECKING:
    from cosyn.runtime import Generation, LanguageModel, SamplingOptions
    from cosyn.runtime.chat import Message
    from cosyn.runtime.language_model import Prompt
    from cosyn.runtime.sampler import SamplingKeywords

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
        Path | None,
        typer.Option("--prompt-file", metavar="FILE", help="The prompt, from a file; - is stdin."),
    ] = None,
    prompt_ids: Annotated[
        str | None,
        typer.Option(
            "--prompt-ids", metavar="IDS", help="The prompt as token ids, such as 1,403,407: needs no tokenizer."
        ),
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Use the chat template; without a prompt: talk, line by line.")
    ] = False,
    system: Annotated[str | None, typer.Option("--system", help="With --chat: the system message.")] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", "-n", min=1, help="Most tokens to write.")] = 256,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            min=0.0,
            help="0: always the likeliest token; default, here and below: what the model recommends, else 0.",
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=0, help="Draw among the K likeliest tokens; 0: all.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", min=0.0, max=1.0, help="Draw among the likeliest that make up P."),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option("--min-p", min=0.0, max=1.0, help="Drop tokens below P times the likeliest."),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option("--repetition-penalty", min=0.0, help="Above 1: make tokens seen before less likely."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed draws the same text.")] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", help="Stop before this text; may be given again.", show_default=False),
    ] = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Write on after the end token.")] = False,
    engine: Engine = None,
    threads: Threads = None,
    huge_pages: HugePages = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run an artifact: stream the text that the model writes after a prompt, or talk to it."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if prompt_ids is not None and (chat or prompt is not None or prompt_file is not None):
        raise CommandError("--prompt-ids beside another prompt", "token ids are the whole prompt: give them alone")
    text = _read_prompt(prompt, prompt_file)
    if text is None and not chat and prompt_ids is None:
        raise CommandError("no prompt", "give --prompt TEXT, --prompt-file FILE, --prompt-ids IDS, or --chat to talk")
    if text is None and prompt_ids is None and as_json:
        raise CommandError("--json answers once, it does not talk", "give --prompt TEXT beside --chat")
    if system is not None and not chat:
        raise CommandError("--system without --chat", "a system message is part of a conversation")

    from cosyn.engines import load_model

    model = load_model(artifact, engine, threads, huge_pages)
    sampling = _sampling(
        model.default_sampling, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repetition_penalty=repetition_penalty, seed=seed,
    )  # fmt: skip
    console.detail(f"sampling: {sampling}")
    writer = _Writer(console, model, sampling, max_new_tokens, tuple(stop or ()), ignore_eos)
    if prompt_ids is not None:
        writer.answer(_read_ids(prompt_ids, model.manifest.model.vocab_size))
    elif text is None:
        _talk(writer, system)
    elif chat:
        messages: list[Message] = [*_opening(system), {"role": "user", "content": text}]
        writer.answer(messages)
    else:
        writer.answer(text)


def _read_prompt(prompt: str | None, prompt_file: Path | None) -> str | None:
    if prompt_file is None:
        return prompt
    if prompt is not None:
        raise CommandError("--prompt and --prompt-file are two prompts", "give one of them")
    if str(prompt_file) == "-" and sys.stdin is None:
        raise CommandError("--prompt-file - reads stdin, which is closed", "give --prompt TEXT, or a file")
    try:
        return sys.stdin.read() if str(prompt_file) == "-" else prompt_file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{prompt_file} is not UTF-8 text: {error.reason} at byte {error.start}"
        raise CommandError(message, "convert it to UTF-8") from error


def _read_ids(text: str, vocab_size: int) -> list[int]:
    words = text.replace(",", " ").split()
    wrong = [w for w in words if not w.isdecimal() or int(w) >= vocab_size]
    if wrong or not words:
        found = f"found {wrong[0]!r}" if wrong else "found none"
        hint = "separate them with commas, as in --prompt-ids 1,2,3"
        raise CommandError(f"--prompt-ids: expected token ids from 0 to {vocab_size - 1}, {found}", hint)
    return [int(w) for w in words]


class _Given(TypedDict):
    """Sampling options of the command line; None where not given."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    seed: int | None


def _sampling(recommended: SamplingOptions, **given: Unpack[_Given]) -> SamplingOptions:
    """What the model recommends, except where an option was given."""
    from dataclasses import replace

    chosen = {name: value for name, value in given.items() if value is not None}
    return replace(recommended, **cast("SamplingKeywords", chosen))


def _opening(system: str | None) -> list[Message]:
    return [] if system is None else [{"role": "system", "content": system}]


@dataclass(frozen=True)
class _Writer:
    """Shows answers: streamed to stdout with their speed on stderr, or as one JSON object."""

    console: Console
    model: LanguageModel
    sampling: SamplingOptions
    max_new_tokens: int
    stop: Sequence[str]
    ignore_eos: bool

    def answer(self, prompt: Prompt) -> str:
        stream = self.model.stream(
            prompt, max_new_tokens=self.max_new_tokens, sampling=self.sampling, stop=self.stop,
            ignore_eos=self.ignore_eos,
        )  # fmt: skip
        if isinstance(prompt, str) and not self.console.as_json:
            write_stream(prompt)
        for piece in stream:
            if not self.console.as_json:
                write_stream(piece)
        result = stream.result
        if self.model.tokenizer is None and not self.console.as_json:
            write_stream(" ".join(str(t) for t in result.token_ids))
        from cosyn.engines import accelerator_cycles

        accelerator = accelerator_cycles(self.model)
        self.console.result(_data(result) | accelerator, [""])
        self.console.log(_speed(result) + (f"; accelerator: {accelerator['cycles']} cycles" if accelerator else ""))
        return result.text


def _talk(writer: _Writer, system: str | None) -> None:
    """A conversation, line by line. Each turn gives the model all that was said; its cache has most of it."""
    writer.console.log("a line is a message; an empty line or Ctrl-D ends the conversation")
    messages = _opening(system)
    while True:
        writer.console.stderr.print("> ", end="")
        line = sys.stdin.readline().strip()
        if not line:
            return
        messages.append({"role": "user", "content": line})
        messages.append({"role": "assistant", "content": writer.answer(list(messages))})


def _data(result: Generation) -> dict[str, object]:
    return {
        "text": result.text,
        "token_ids": list(result.token_ids),
        "prompt_tokens": result.prompt_tokens,
        "prompt_token_ids": list(result.prompt_ids),
        "output_ids": [*result.prompt_ids, *result.token_ids],
        "reused_tokens": result.reused_tokens,
        "finish_reason": result.finish_reason,
        "seed": result.seed,
        "prefill_seconds": round(result.prefill_seconds, 6),
        "decode_seconds": round(result.decode_seconds, 6),
        "decode_tokens_per_second": round(result.decode_tokens_per_second, 2),
    }


def _speed(result: Generation) -> str:
    new = result.prompt_tokens - result.reused_tokens
    reused = f" ({result.reused_tokens} more were cached)" if result.reused_tokens else ""
    written = f"{len(result.token_ids)} tokens at {result.decode_tokens_per_second:.1f} per second"
    return (
        f"prompt: {new} tokens in {result.prefill_seconds:.3f} s{reused}; written: {written}; "
        f"ended by {result.finish_reason}"
    )
