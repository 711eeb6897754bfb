"""What is wrong with a target: an unknown name, or a description that breaks the schema."""

from __future__ import annotations


class TargetError(ValueError):
    """A target that cannot be used; `hint` says what to do, `exit_code` is 2: the request was wrong."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
