"""A compilation that must fail, and what it may leave behind: nothing."""

from __future__ import annotations

from pathlib import Path

QUICK = ("--recipe", "fp32", "--max-seq", "8", "--prefill-chunk", "1", "--quiet")
"""Options for the fastest compilation of a tiny model."""


def refused(cosyn, output: Path, code: int, model: object, *words: object) -> str:
    """What a failed compilation says, when it left nothing beside `output`."""
    before = sorted(output.parent.iterdir())
    done = cosyn("compile", model, "-o", output, *QUICK, *words)
    assert done.code == code, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert "internal fault" not in done.err
    assert sorted(output.parent.iterdir()) == before
    error: str = done.err
    return error
