"""What `cosyn bench --profile` does: steps to profile, and the forms in which the profiles come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosyn.console import Console
from cosyn.errors import CommandError
from cosyn.profile_report import data, lines, write_trace
from cosyn.roofline_peaks import measure_peaks
from cosyn.runtime import LanguageModel
from cosyn.runtime.bench import read_bandwidth
from cosyn.runtime.errors import RequestError
from cosyn.runtime.host_cpu import model_name
from cosyn.runtime.vm_executor import VMExecutor
from cosyn.runtime.weights import WEIGHTS_FILE
from cosyn.step_profile import StepProfiler

_PROMPT = 128
_PICTURES = (".svg", ".png")


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files to write beside the table."""

    timeline: Path | None
    trace: Path | None


def profile_artifact(
    console: Console,
    artifact: Path,
    model: LanguageModel,
    prompts: Sequence[int],
    contexts: Sequence[int],
    repeats: int,
    pictures: Pictures,
) -> None:
    """Profile `model`, loaded from `artifact`, and print it.

    Decode steps after each of `contexts`, and the last step of each of `prompts`.
    """
    if pictures.timeline is not None and pictures.timeline.suffix not in _PICTURES:
        raise CommandError(
            f"--timeline draws {' or '.join(_PICTURES)}, found {pictures.timeline.name}", "change the file's suffix"
        )
    executor = model.executor
    steps = [(1, c) for c in contexts] + [
        _last_step(p, executor.max_chunk) for p in prompts or [_prompt(executor.max_seq)]
    ]
    for tokens, context in steps:
        if tokens + context > executor.max_seq:
            raise RequestError(
                f"a step over {tokens + context} tokens exceeds the context of {executor.max_seq}",
                "ask for fewer, or compile the model with a larger --max-seq",
            )
    with console.steps() as progress:
        progress.step(1, 1 + len(steps), "peaks")

        def bandwidth() -> float:
            return read_bandwidth(executor, artifact / WEIGHTS_FILE) if isinstance(executor, VMExecutor) else 0.0

        used = executor.threads if isinstance(executor, VMExecutor) else 1
        profiler = StepProfiler(model, artifact, measure_peaks(bandwidth, model.manifest.target.features, used))
        profiles = []
        for number, (tokens, context) in enumerate(steps, start=2):
            progress.step(number, 1 + len(steps), f"{tokens} tokens after {context}")
            profiles.append(profiler.profile(tokens, context, repeats=repeats))
    if pictures.timeline is not None:
        from cosyn.timeline import draw_timeline

        draw_timeline(profiles, pictures.timeline)
        console.log(f"timeline: {pictures.timeline}")
    if pictures.trace is not None:
        write_trace(profiles, pictures.trace)
        console.log(f"trace: {pictures.trace}")
    manifest = model.manifest
    console.log(
        f"{manifest.model.name}, {manifest.recipe}, {used} threads on {model_name()}, medians of {repeats} runs"
    )
    about = {"threads": used, "repeats": repeats, "cpu": model_name(), "model": manifest.model.name}
    about |= {"recipe": manifest.recipe, "target": manifest.target.name}
    separated = (line for p in profiles for line in (*lines(p), ""))
    console.result({**about, "profiles": [data(p) for p in profiles]}, list(separated)[:-1])


def _prompt(max_seq: int) -> int:
    return min(_PROMPT, max_seq)


def _last_step(prompt: int, chunk: int) -> tuple[int, int]:
    """Tokens of the last step of a prompt, and the tokens before it."""
    tokens = prompt % chunk or chunk
    return tokens, prompt - tokens
