"""Errors that a user can meet: each carries the exit code that the command line returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

REQUEST_WRONG = 2
WORK_FAILED = 1


class CosynError(Exception):
    """Base of all errors meant for the user; `exit_code` 1: the work failed, 2: the request was wrong."""

    exit_code = WORK_FAILED


class RequestError(CosynError):
    """What was asked for cannot be done as asked: a wrong path, name or option."""

    exit_code = REQUEST_WRONG


class ModelError(RequestError):
    """The model given is not one that can be read: no config, a class that is not a language model, …"""


class WeightError(CosynError):
    """A checkpoint that lacks what the model needs: missing, truncated, misshapen or not finite tensors."""


@dataclass(frozen=True, slots=True)
class UnsupportedOp:
    """One operation that cannot be expressed: op, node name, layer (module path), source line, reason."""

    op: str
    node: str
    layer: str = ""
    source: str = ""
    reason: str = ""

    def __str__(self) -> str:
        where = " ".join(
            part for part in (self.layer and f"in {self.layer}", self.source and f"at {self.source}") if part
        )
        place = f", {where}" if where else ""
        return f"{self.op} (node {self.node}{place})" + (f": {self.reason}" if self.reason else "")


class UnsupportedOps(CosynError):
    """Every operation of a model that has no meaning in the IR, all at once; `ops` holds them in order."""

    def __init__(self, ops: Sequence[UnsupportedOp]) -> None:
        self.ops = tuple(ops)
        lines = "\n".join(f"  {op}" for op in self.ops)
        count = f"{len(self.ops)} operation{'s' if len(self.ops) != 1 else ''}"
        super().__init__(
            f"the model uses {count} that cosyn cannot express:\n{lines}\n"
            "Rewrite them with supported operations, or add the op to ir/ops and its lowering to ir/frontend."
        )
