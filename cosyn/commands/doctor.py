"""`cosyn doctor`: what this machine has, and what each missing thing disables."""

from __future__ import annotations

from dataclasses import asdict

import typer

from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.console import Console, table
from cosyn.machine import Check, checks

EXAMPLES = examples(
    ("look at this machine", "cosyn doctor"),
    ("the same for a script or a bug report", "cosyn doctor --json"),
    ("fail a build where something required is missing", "cosyn doctor --quiet || exit 1"),
)


def command(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Explain this machine: versions, instruction sets, compilers, drivers, and what is missing."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    found = list(checks())
    failed = [c.name for c in found if c.required and c.state != "ok"]
    console.result({"ok": not failed, "checks": [asdict(c) for c in found]}, _lines(found))
    if failed:
        raise typer.Exit(1)


def _lines(found: list[Check]) -> list[str]:
    lines = table(("", "WHAT", "FOUND"), [(c.state, c.name, c.found) for c in found])
    for c in found:
        if c.state != "ok":
            lines.append(f"{c.name}: without it, no {c.disables}; {c.hint}")
    return lines
