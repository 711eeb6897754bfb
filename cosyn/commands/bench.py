"""`cosyn bench`: speed of an artifact on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosyn.commands.options import ArtifactDir, HugePages, Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console, table
from cosyn.errors import CommandError

if TYPE_CHECKING:
    from cosyn.runtime.bench import DecodeSpeed, PrefillSpeed, Spread

EXAMPLES = examples(
    ("prefill, decode, and the share of this machine's bandwidth", "cosyn bench out"),
    ("prompts of two lengths, decode after 0 and 1024 tokens",
     "cosyn bench out --prompt-tokens 128 --prompt-tokens 512 --context 0 --context 1024"),
    ("on two threads, seven times, for a script", "cosyn bench out --threads 2 --repeats 7 --json"),
    ("each kernel against the roofline, and the step as a picture", "cosyn bench out --profile --timeline step.svg"),
)  # fmt: skip

_DEFAULT_PROMPT = 128


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
    huge_pages: HugePages = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time each kernel of a step instead, worst first.")
    ] = False,
    timeline: Annotated[
        Path | None,
        typer.Option(
            "--timeline", metavar="FILE", help="With --profile: draw the step (.svg or .png).", show_default=False
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="With --profile: write it for a trace viewer.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Measure prefill and decode, and the share of this machine's read bandwidth that decode reaches.

    Decoding reads all weights and the cached context for each token: those bytes times tokens per second,
    over the bandwidth of a kernel that only reads, is the share of the roofline.

    With --profile every kernel of a decode step after each --context, and of the last step of each prompt, is timed
    alone in the real order, with the bytes and operations that it needs and the time that the roofline gives it.
    """
    from cosyn.runtime import load

    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if profile:
        from cosyn.profile_command import Pictures, profile_artifact

        pictures = Pictures(timeline, trace)
        model = load(artifact, threads=threads, huge_pages=huge_pages, context=1)
        profile_artifact(console, artifact, model, prompt_tokens or [], context or [0], repeats, pictures)
        return
    if timeline is not None or trace is not None:
        raise CommandError("--timeline and --trace show a profile", "add --profile")
    from cosyn.runtime.bench import measure_decode, measure_prefill, read_bandwidth
    from cosyn.runtime.host_cpu import model_name
    from cosyn.runtime.vm_executor import VMExecutor

    model = load(artifact, threads=threads, huge_pages=huge_pages)
    executor = model.executor
    # Only TVM's runtime says how many threads it uses, and only the CPU's library has the reading kernel.
    on_cpu = isinstance(executor, VMExecutor) and model.manifest.target.device == "cpu"
    used = executor.threads if isinstance(executor, VMExecutor) and on_cpu else None
    longest = executor.max_seq
    lengths = prompt_tokens or [min(_DEFAULT_PROMPT, longest)]
    contexts = context or [0]
    new_tokens = min(new_tokens, longest) if not context else new_tokens
    total = 1 + len(lengths) + len(contexts)
    with console.steps() as progress:
        # A shared machine's memory is faster at one moment than at another: the best of several counts as its own.
        reads: list[float] = []

        def measure_reads() -> None:
            if isinstance(executor, VMExecutor) and on_cpu:
                reads.append(read_bandwidth(executor, artifact / "weights.safetensors"))

        progress.step(1, total, "read bandwidth")
        measure_reads()
        prefill, decode = [], []
        for number, length in enumerate(lengths, start=2):
            progress.step(number, total, f"prefill {length}")
            prefill.append(measure_prefill(model, length, repeats=repeats))
        for number, cached in enumerate(contexts, start=2 + len(lengths)):
            progress.step(number, total, f"decode {new_tokens} after {cached}")
            decode.append(measure_decode(model, cached, new_tokens, repeats=repeats))
            measure_reads()
    bandwidth = max(reads, default=None)
    if bandwidth is not None:
        decode = [d.against(bandwidth) for d in decode]
    manifest = model.manifest
    data: dict[str, object] = {
        # The first of each: what a script that asked for one length wants.
        "prefill_tokens_per_second": prefill[0].tokens_per_second.median,
        "decode_tokens_per_second": decode[0].tokens_per_second.median,
        "decode_bytes_per_token": decode[0].bytes_per_token,
        "bandwidth_gbps": None if bandwidth is None else bandwidth / 1e9,
        "roofline_fraction": decode[0].roofline_fraction,
        "prefill": [asdict(p) for p in prefill],
        "decode": [asdict(d) for d in decode],
        "threads": used,
        "huge_pages": isinstance(executor, VMExecutor) and executor.huge_pages,
        "repeats": repeats,
        "cpu": model_name(),
        "model": manifest.model.name,
        "recipe": manifest.recipe,
        "target": manifest.target.name,
    }
    where = f"{used} threads on {model_name()}" if used else f"the device {manifest.target.device}"
    console.log(f"{manifest.model.name}, {manifest.recipe}, {where}, batch 1")
    console.result(data, _lines(prefill, decode, bandwidth, repeats))


def _lines(
    prefill: list[PrefillSpeed], decode: list[DecodeSpeed], bandwidth: float | None, repeats: int
) -> Iterator[str]:
    rows = [("prefill", str(p.prompt_tokens), "0", *_speed(p.tokens_per_second), "", "") for p in prefill]
    for d in decode:
        share = "" if d.roofline_fraction is None else f"{d.roofline_fraction:.1%}"
        rate = f"{d.bytes_per_token * d.tokens_per_second.median / 1e9:.2f}"
        rows.append(("decode", str(d.new_tokens), str(d.context), *_speed(d.tokens_per_second), rate, share))
    yield from table(("", "TOKENS", "CONTEXT", "TOKENS/S", "LOWEST..HIGHEST", "GB/S", "OF ROOFLINE"), rows)
    if bandwidth is not None:
        yield f"read bandwidth of this machine: {bandwidth / 1e9:.1f} GB/s; medians of {repeats} runs"


def _speed(spread: Spread) -> tuple[str, str]:
    return f"{spread.median:.1f}", f"{spread.low:.1f}..{spread.high:.1f}"
