"""Options that every verb has, and how help shows its examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result and errors.")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="More detail, and a trace where something fails.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; default: one per physical core.")]
HugePages = Annotated[
    bool | None,
    typer.Option(
        "--huge-pages/--no-huge-pages",
        help="Copy the weights into huge pages, or map the file and share it; default: copy where that takes at most "
        "half of the free memory.",
        show_default=False,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="For an accelerator's artifact: sim (default), cycles, reference, rtl or icarus.",
        show_default=False,
    ),
]
ArtifactDir = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder that `cosyn compile` wrote.", show_default=False)
]


def examples(*pairs: tuple[str, str]) -> str:
    """The end of a help text: what for, and the command, kept line by line."""
    lines = [f"  # {why}\n  {command}" for why, command in pairs]
    return "\b\nExamples:\n" + "\n".join(lines)
