"""Errors of the RTL room: a missing tool, a failed build, a failed test, an accelerator that reports an error."""

from __future__ import annotations

from cosyn.accelerator_model.errors import CosynError


class ToolError(CosynError):
    """A simulator, compiler or synthesis tool is missing or does not work; the message says what to install."""


class BuildError(CosynError):
    """A tool refused the RTL; the message holds its first error and the log's path."""


class BlockFailure(AssertionError):
    """A cocotb test failed; the message holds the first failure and how to see it."""


class SessionError(CosynError):
    """The simulated accelerator did not do what the host asked, or its simulation ended."""


class SessionTimeout(SessionError, TimeoutError):
    """The simulated accelerator was still busy when the host's patience ended."""
