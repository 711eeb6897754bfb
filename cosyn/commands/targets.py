"""`cosyn targets`: the hardware that a model can be compiled for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.console import Console, table
from cosyn.targets import Quantity, Target, shipped_targets

EXAMPLES = examples(
    ("every target, one line each", "cosyn targets"),
    ("one target with its numbers and where they come from", "cosyn targets cuda:h200"),
    ("check a description of your own", "cosyn targets ./my_board.yaml"),
)


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[TARGET]", help="One target to show in full, or a YAML file.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """List the hardware that a model can be compiled for."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    from cosyn.accelerator_target import accelerator_targets, resolve_target

    if name is not None:
        target = resolve_target(name)
        console.result(as_data(target), _describe(target))
        return
    targets = (*shipped_targets(), *accelerator_targets())
    rows = [(t.name, t.kind, t.status, t.device, ", ".join(t.aliases)) for t in targets]
    console.result(
        {"targets": [as_data(t) for t in targets]},
        table(("NAME", "KIND", "STATUS", "DEVICE", "ALSO CALLED"), rows),
    )


def as_data(target: Target) -> dict[str, object]:
    """The target as JSON: quantities as {value, unit, source}."""
    return {
        "name": target.name,
        "kind": target.kind,
        "device": target.device,
        "arch": target.arch,
        "status": target.status,
        "aliases": list(target.aliases),
        "features": sorted(target.features),
        "peaks": {n: _quantity(q) for n, q in _quantities(target)},
        "limits": _limits(target),
        "limits_source": target.limits_source,
    }


def _limits(target: Target) -> dict[str, int]:
    return {name: value for name, value in asdict(target.limits).items() if value is not None}


def _quantity(quantity: Quantity) -> dict[str, object]:
    return {"value": quantity.value, "unit": quantity.unit, "source": quantity.source}


def _quantities(target: Target) -> Iterator[tuple[str, Quantity]]:
    for precision, quantity in target.peaks.compute.items():
        yield f"compute {precision}", quantity
    for name in ("memory_bandwidth", "memory_capacity", "power"):
        found = getattr(target.peaks, name)
        if found is not None:
            yield name.replace("_", " "), found


def _describe(target: Target) -> Iterator[str]:
    yield f"{target.name} ({target.status}): {target.device}"
    yield f"kind {target.kind}, architecture {target.arch}"
    if target.features:
        yield f"features: {', '.join(sorted(target.features))}"
    peaks = [(n, str(q), q.source) for n, q in _quantities(target)]
    if peaks:
        yield from ("", *table(("PEAK", "VALUE", "SOURCE"), peaks))
    limits = [(n, str(v)) for n, v in _limits(target).items()]
    if limits:
        yield from ("", *table(("LIMIT", "VALUE"), limits), f"source: {target.limits_source}")
