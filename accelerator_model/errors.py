"""Errors of the accelerator room: each names what was expected, what was found and what to change."""

from __future__ import annotations

from cosyn.ir.errors import CosynError, RequestError


class ConfigError(RequestError):
    """An accelerator configuration that breaks a rule."""


class ProgramError(RequestError):
    """A program, instruction or memory image that is not legal for the configuration that should run it."""


class ModelError(RequestError):
    """A model that the accelerator cannot run, or not in that recipe or length."""


__all__ = ["ConfigError", "CosynError", "ModelError", "ProgramError", "RequestError"]
