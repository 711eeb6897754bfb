"""One operation of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosyn.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Location:
    """Where an operation came from: the layer (module path) and the source line of the model."""

    layer: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class NoAttrs:
    """Attributes of an op that has none."""


NO_ATTRS = NoAttrs()


@dataclass(frozen=True, slots=True)
class Node:
    """An operation: immutable, refers to its operands by name.

    `operands` are references: `%name` (or `%name.i` for result i > 0) for a value, `@name` for a weight or
    constant, `$name` for state. `attrs` is the frozen attribute record of the op. `location` takes no part
    in equality.
    """

    name: str
    op: str
    operands: tuple[str, ...]
    types: tuple[TensorType, ...]
    attrs: object = NO_ATTRS
    location: Location = field(default=Location(), compare=False)

    @property
    def type(self) -> TensorType:
        """Type of the first (usually the only) result."""
        return self.types[0]

    @property
    def results(self) -> tuple[str, ...]:
        """References to the results: `%name`, `%name.1`, …"""
        return tuple(f"%{self.name}" if i == 0 else f"%{self.name}.{i}" for i in range(len(self.types)))

    @property
    def ref(self) -> str:
        """Reference to the first result."""
        return f"%{self.name}"
