"""`cosyn tune`: measure on this machine which choice serves each linear kernel best."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosyn.commands.options import Json, Quiet, Threads, Verbose, examples
from cosyn.console import Console, table
from cosyn.errors import CommandError

if TYPE_CHECKING:
    from cosyn.codegen.tvm.choice_table import ChoiceTable, Machine
    from cosyn.tuning_run import TunedKernel

EXAMPLES = examples(
    ("the kernels of a model, in at most five minutes; `cosyn compile` then uses what was found",
     "cosyn tune ./TinyLlama --recipe w8a8"),
    ("those of an artifact, on one thread, in one minute", "cosyn tune out --threads 1 --budget 60"),
    ("of a shape without weights, into a file for machines like this one",
     "cosyn tune ./config.json --recipe w4a16_g32 -o choices.json"),
    ("what has been measured on this machine", "cosyn tune --show"),
)  # fmt: skip

_CHUNK = 128


def command(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL|DIR", help="As in `compile`, or an artifact.", show_default=False),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="For a MODEL: as in `compile`.", show_default=False)
    ] = None,
    target: Annotated[str, typer.Option("--target", "-t", help="A description of this machine's CPU.")] = "cpu",
    prefill_chunk: Annotated[
        int | None,
        typer.Option("--prefill-chunk", min=1, max=4096, help="As in `compile`.", show_default=str(_CHUNK)),
    ] = None,
    threads: Threads = None,
    budget: Annotated[
        float, typer.Option("--budget", metavar="SECONDS", min=1, help="After this, no further kernel is begun.")
    ] = 300,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the table here; default: this user's cache."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Measure nothing: print the table.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Measure which choice (threads, tile, …) serves each linear kernel of MODEL best on this machine.

    `cosyn compile` uses what was found, for any model with kernels of the same shape and storage; it is never
    needed, and results stay the same up to the order of sums. A choice replaces the default where it saves more
    than 3 % of the time and more than the noise.
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if model is None and not show:
        raise CommandError("cosyn tune needs a model, an artifact, or --show", "see: cosyn tune --help")
    from cosyn.accelerator_target import resolve_target
    from cosyn.runtime.tvm_library import set_threads
    from cosyn.tuned_choices import cache_file, machine_for, read_choices

    chosen = resolve_target(target)
    machine = machine_for(chosen, set_threads(threads))
    if machine is None:
        raise CommandError(f"this machine cannot run kernels for the target {target}", "tune on the machine itself")
    file = output or cache_file(machine)
    known, warning = read_choices(file, machine)
    if warning:
        console.log(f"warning: {warning}")
    if show or model is None:
        console.result(_shown(file, machine, known), _shown_lines(file, known))
        return
    from cosyn.tuning_run import trials_of, tunable_model, tune_kernels

    with console.steps() as progress:
        found = tunable_model(console, progress, model, chosen, recipe, prefill_chunk)
        kernels = found.kernels()
        tuned: list[TunedKernel] = []
        begun = time.perf_counter()
        try:
            for one in tune_kernels(kernels, trials_of(found), file, machine, budget, progress):
                tuned.append(one)
        finally:
            # After Ctrl-C too: each kernel was kept as it was done.
            if len(tuned) < len(kernels):
                console.log(f"{len(tuned)} of {len(kernels)} kernels were measured; the others keep what they had")
    data: dict[str, object] = {
        "file": str(file),
        "machine": asdict(machine),
        "seconds": round(time.perf_counter() - begun, 3),
        "kernels_count": len(kernels),
        "kernels": [t.as_json() for t in tuned],
    }
    console.result(data, [*_lines(tuned), f"wrote {file}"])


def _lines(tuned: list[TunedKernel]) -> list[str]:
    rows = [
        (
            t.kernel.key.op, f"{t.kernel.key.n}x{t.kernel.key.k}", t.kernel.key.weight, _rows(t.kernel.key.rows),
            t.form, f"{t.outcome.seconds * 1e6:.0f}", t.rate, str(t.outcome.tried),
            choice_text(t.outcome.choice.changed()), f"{t.outcome.gain:.1%}" if t.outcome.gain else "",
        )
        for t in tuned
    ]  # fmt: skip
    return table(
        ("KERNEL", "WEIGHT", "FORMAT", "ROWS", "FORM", "MICROSECONDS", "RATE", "TRIED", "CHOSEN", "SAVES"), rows
    )


def choice_text(changed: Mapping[str, int]) -> str:
    """Choices that are not the default, for a table."""
    return " ".join(f"{name}={value}" for name, value in changed.items()) or "default"


def _rows(rows: str) -> str:
    return rows if rows.isdigit() else "any"


def _shown(file: Path, machine: Machine, known: ChoiceTable) -> dict[str, object]:
    kernels = [
        {**asdict(key), "choice": m.choice.changed(), "seconds": m.seconds, "default_seconds": m.default_seconds}
        for key, m in sorted(known.kernels.items(), key=lambda item: item[0])
    ]
    return {"file": str(file), "machine": asdict(machine), "kernels": kernels}


def _shown_lines(file: Path, known: ChoiceTable) -> Iterator[str]:
    if not known.kernels:
        yield f"nothing has been measured: there is no table for this machine at {file}"
        return
    rows = [
        (key.op, f"{key.n}x{key.k}", key.weight, key.rows, f"{m.seconds * 1e6:.0f}", choice_text(m.choice.changed()),
         f"{1 - m.seconds / m.default_seconds:.1%}")
        for key, m in sorted(known.kernels.items(), key=lambda item: item[0])
    ]  # fmt: skip
    yield from table(("KERNEL", "WEIGHT", "FORMAT", "ROWS", "MICROSECONDS", "CHOSEN", "SAVES"), rows)
    yield f"from {file}"
