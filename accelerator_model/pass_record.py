"""Symbolic passes of the special-function unit, and how sequences of them are put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict, TypeVar, Unpack

from cosyn.accelerator_model.isa.misc import Function, Output, Reduction


@dataclass(frozen=True, slots=True)
class PerRow:
    """A vector for each row, f32 [rows, columns]."""

    name: str


@dataclass(frozen=True, slots=True)
class Shared:
    """One vector for all rows, f32 [columns]."""

    name: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number for each row, f32 [rows]."""

    name: str


@dataclass(frozen=True, slots=True)
class Immediate:
    """A number in the instruction, rounded to f32."""

    value: float


Source = PerRow | Shared | Scalar | Immediate


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """y = F(a b ± c) d for every row and column, each operation rounded; then the reduction of each row.

    An absent b or d is 1, an absent c is 0. `masked`: columns that a row may not see give y = 0 and do not take
    part in the reduction. `destination` names y: f32 [rows, columns] (`VECTOR`), INT8 (`ACTIVATION`), or, in a
    pass `over_rows`, scalars f32 [rows]; None where only the reduction, scalars named `reduce_to`, is wanted.
    """

    role: str
    """What the pass is for: shown in listings."""
    a: PerRow | Shared | Scalar
    b: Source | None = None
    c: Source | None = None
    d: Source | None = None
    c_negate: bool = False
    function: Function = Function.IDENTITY
    reduction: Reduction = Reduction.NONE
    reduce_to: str | None = None
    output: Output = Output.NONE
    destination: str | None = None
    masked: bool = False
    over_rows: bool = False

    def __post_init__(self) -> None:
        sources = [s for s in (self.a, self.b, self.c, self.d) if s is not None]
        if self.over_rows and any(isinstance(s, PerRow | Shared) for s in sources):
            raise ValueError(f"pass {self.role!r} works on scalars, found {sources}")
        if not self.over_rows and isinstance(self.a, Scalar):
            raise ValueError(f"pass {self.role!r} needs a vector as a, found {self.a}")
        if (self.reduce_to is None) != (self.reduction is Reduction.NONE):
            raise ValueError(f"pass {self.role!r}: reduction {self.reduction.name} but reduce_to {self.reduce_to}")
        if (self.destination is None) != (self.output is Output.NONE):
            raise ValueError(f"pass {self.role!r}: output {self.output.name} but destination {self.destination}")
        if len({s for s in sources if isinstance(s, Immediate)}) > 2:
            raise ValueError(f"pass {self.role!r} has more than two immediates: {sources}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Names that the pass reads."""
        return tuple(s.name for s in (self.a, self.b, self.c, self.d) if s is not None and not isinstance(s, Immediate))

    @property
    def writes(self) -> tuple[str, ...]:
        """Names that the pass makes."""
        return tuple(name for name in (self.destination, self.reduce_to) if name is not None)


class Rest(TypedDict, total=False):
    """Fields of a Pass that writes vectors or scalars, besides role, a, output and destination."""

    b: Source | None
    c: Source | None
    d: Source | None
    c_negate: bool
    function: Function
    reduction: Reduction
    reduce_to: str | None
    masked: bool


Passes = tuple[Pass, ...]
Kind = TypeVar("Kind", PerRow | Shared | Scalar, Source | None)


def vector_pass(role: str, to: str, a: PerRow | Shared, **rest: Unpack[Rest]) -> Pass:
    """A pass that writes vectors named `to`; `rest`: further fields of Pass."""
    return Pass(role=role, a=a, output=Output.VECTOR, destination=to, **rest)


def scalar_pass(role: str, to: str, a: Scalar, **rest: Unpack[Rest]) -> Pass:
    """A pass over rows that writes scalars named `to`; `rest`: further fields of Pass."""
    return Pass(role=role, a=a, output=Output.VECTOR, destination=to, over_rows=True, **rest)


def renamed(passes: Passes, names: Mapping[str, str]) -> Passes:
    """The same passes with roles replaced, to connect a sequence to the one before it."""

    def source(s: Kind) -> Kind:
        return replace(s, name=names.get(s.name, s.name)) if isinstance(s, PerRow | Shared | Scalar) else s

    def name(text: str | None) -> str | None:
        return None if text is None else names.get(text, text)

    return tuple(
        replace(
            p, a=source(p.a), b=source(p.b), c=source(p.c), d=source(p.d),
            destination=name(p.destination), reduce_to=name(p.reduce_to),
        )
        for p in passes
    )  # fmt: skip


def join(*sequences: Passes) -> Passes:
    """The sequences one after the other; a pass that only reduces what the pass before it wrote is made part of that
    pass. The results are the same bits.
    """
    joined: list[Pass] = []
    for step in (p for sequence in sequences for p in sequence):
        before = joined[-1] if joined else None
        if before is not None and _only_reduces(step, before):
            joined[-1] = replace(before, reduction=step.reduction, reduce_to=step.reduce_to)
        else:
            joined.append(step)
    return tuple(joined)


def _only_reduces(step: Pass, before: Pass) -> bool:
    return (
        before.output is Output.VECTOR
        and before.reduction is Reduction.NONE
        and before.over_rows == step.over_rows
        and before.masked == step.masked
        and step.output is Output.NONE
        and step.function is Function.IDENTITY
        and step.b is None and step.c is None and step.d is None
        and step.a == PerRow(before.destination or "")
    )  # fmt: skip
