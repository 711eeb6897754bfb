"""Closest matches for names that a user mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that `name` was probably meant to be; None where nothing is near."""
    table = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), table, 1, cutoff=0.5)
    return table[found[0]] if found else None


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing where no choice is near."""
    match = closest(name, choices)
    return f"did you mean {match!r}?" if match else ""
