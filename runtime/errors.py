"""What can go wrong while an artifact is loaded or run; each fault says what to do and how a command should
exit.
"""

from __future__ import annotations


class RuntimeFault(Exception):
    """Base of the runtime's errors.

    `hint` says what to do; `exit_code` 1: the work failed, 2: the request was wrong.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RequestError(RuntimeFault):
    """The caller asked for something that cannot be: an empty prompt, a prompt that is too long, a bad
    option.
    """

    exit_code = 2


class ArtifactError(RuntimeFault):
    """The folder is not an artifact that this version can run: damaged, incomplete, or of another format."""


class HostError(RuntimeFault):
    """This machine cannot run the artifact: missing CPU features, missing device, missing TVM runtime."""
