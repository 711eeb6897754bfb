"""`cosyn targets`: the hardware that a model can be compiled for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.console import Console, table
from cosyn.targets import Quantity, Target, shipped_targets

if TYPE_CHECKING:
    from cosyn.accelerator_facts import AcceleratorFacts

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
    from cosyn.accelerator_facts import accelerator_facts
    from cosyn.accelerator_target import accelerator_targets, resolve_target

    if name is not None:
        target = resolve_target(name)
        facts = accelerator_facts(target)
        console.result(as_data(target, facts), _describe(target, facts))
        return
    targets = [(t, accelerator_facts(t)) for t in (*shipped_targets(), *accelerator_targets())]
    rows = [
        (t.name, t.kind, t.status, ", ".join(t.aliases), facts.summary() if facts else t.device) for t, facts in targets
    ]
    console.result(
        {"targets": [as_data(t, facts) for t, facts in targets]},
        # The device last: an accelerator has more to say there than others.
        table(("NAME", "KIND", "STATUS", "ALSO CALLED", "DEVICE"), rows),
    )


def as_data(target: Target, facts: AcceleratorFacts | None = None) -> dict[str, object]:
    """The target as JSON: quantities as {value, unit, source}; `accelerator` where there are `facts`."""
    data: dict[str, object] = {
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
    return data if facts is None else {**data, "accelerator": facts.as_data()}


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


def _describe(target: Target, facts: AcceleratorFacts | None) -> Iterator[str]:
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
    if facts is not None:
        yield from _describe_accelerator(facts)


def _describe_accelerator(facts: AcceleratorFacts) -> Iterator[str]:
    yield facts.summary()
    numbers = [
        (name, f"{use['needed']:,.0f}", f"{use['available']:,.0f}") for name, use in facts.resource_use().items()
    ]
    yield from ("", *table(("RESOURCE", "NEEDS (ESTIMATE)", "DEVICE HAS"), numbers))
    device = [(name, f"{fact.value:,.10g} {fact.unit}", fact.source) for name, fact in facts.device.facts().items()]
    yield from ("", *table((f"{facts.device.name.upper()} ({facts.device.part})", "VALUE", "SOURCE"), device))
