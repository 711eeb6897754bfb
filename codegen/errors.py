"""Failures of code generation and of writing artifacts."""

from __future__ import annotations

from cosyn.ir.errors import CosynError


class ArtifactWriteError(CosynError):
    """The artifact could not be written; nothing of it is left behind."""

    exit_code = 1


class BackendError(CosynError):
    """A target that this installation cannot generate code for; the message says what is missing."""

    exit_code = 1
