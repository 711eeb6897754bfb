"""Writes docs/cli.md: `python -m cosyn.reference > docs/cli.md`."""

from __future__ import annotations

import contextlib
import io
import os
from unittest import mock

from cosyn.cli import VERBS, main

_HEAD = """\
# Command line

Written by `python -m cosyn.reference`; a test keeps it current.

Results go to stdout, everything else to stderr. `--json` prints exactly one object, also when something
fails: `{"error": …, "hint": …, "exit_code": …}`. Exit codes: 0 done, 1 the work failed or a check did not
hold, 2 the request was wrong. `NO_COLOR` is honoured; progress bars appear only on a terminal.
"""


def reference() -> str:
    """The help of every verb, as one page."""
    parts = [_HEAD, _help([])]
    parts += [f"## {verb}\n\n{_help([verb])}" for verb in VERBS]
    return "\n".join(parts)


def _help(words: list[str]) -> str:
    text = io.StringIO()
    # The width would otherwise be that of the terminal at hand.
    width = {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}
    with mock.patch.dict(os.environ, width), contextlib.redirect_stdout(text):
        main([*words, "--help"])
    return f"```text\n{text.getvalue().strip()}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
