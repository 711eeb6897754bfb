"""Executes passes of the special-function unit on arrays."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.isa.misc import Output
from cosyn.accelerator_model.numerics import float32
from cosyn.accelerator_model.numerics.element import Mask, evaluate, reduce
from cosyn.accelerator_model.pass_record import Immediate, Pass, PerRow, Scalar, Shared, Source

Environment = MutableMapping[str, npt.NDArray[Any]]
"""Name -> array. Any leading batch axes are allowed: `PerRow` [..., rows, columns], `Shared` [..., columns], `Scalar`
[..., rows]."""


def apply(step: Pass, env: Environment, lanes: int, mask: Mask | None = None) -> None:
    """Execute `step`, adding what it makes to `env`; `mask` [..., rows, columns] is what a masked pass may see.

    Raises KeyError for a name that `env` lacks, and ValueError for a masked pass without a mask.
    """
    if step.masked and mask is None:
        raise ValueError(f"pass {step.role!r} is masked: give the mask of visible columns")
    visible = mask if step.masked else None
    b, c, d = (None if s is None else _value(s, env, step.over_rows) for s in (step.b, step.c, step.d))
    y = evaluate(_value(step.a, env, step.over_rows), b, c, d, step.function, step.c_negate)
    if visible is not None:
        y = np.where(visible, y, np.float32(0))
    if step.reduce_to is not None:
        env[step.reduce_to] = reduce(step.reduction, y, lanes, visible)
    if step.destination is not None:
        env[step.destination] = float32.to_int8(y) if step.output is Output.ACTIVATION else y


def run(steps: tuple[Pass, ...], env: Environment, lanes: int, mask: Mask | None = None) -> Environment:
    """`apply` for each of `steps`, in order; returns `env`."""
    for step in steps:
        apply(step, env, lanes, mask)
    return env


def _value(source: Source, env: Environment, over_rows: bool) -> npt.NDArray[Any]:
    match source:
        case Immediate(value):
            return np.asarray(value, np.float32)
        case PerRow(name):
            return env[name]
        case Shared(name):
            return env[name][..., None, :]
        case Scalar(name):
            return env[name] if over_rows else env[name][..., None]
