"""Runs command lines inside the test's process, as a user would type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cosyn.cli import main


@dataclass(frozen=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


Cosyn = Callable[..., Outcome]


@pytest.fixture
def cosyn(capsys: pytest.CaptureFixture[str]) -> Cosyn:
    """`cosyn("compile", "model")` → Outcome."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(w) for w in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
