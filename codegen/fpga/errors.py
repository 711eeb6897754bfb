"""What the accelerator's compiler refuses."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.ir.errors import RequestError


class UnsupportedError(RequestError):
    """Operations that the accelerator lacks: all of them, with their nodes."""

    def __init__(self, problems: Sequence[str]) -> None:
        count = f"{len(problems)} operation{'s' if len(problems) > 1 else ''}"
        super().__init__(f"the accelerator cannot run {count} of this model:\n  " + "\n  ".join(problems))
        self.problems = tuple(problems)


class FitError(RequestError):
    """A model that does not fit a buffer or the memory of the configuration."""
