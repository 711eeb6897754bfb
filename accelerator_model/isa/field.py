"""A bit field of an instruction: a width, a sign, an optional enumeration."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class Field:
    """`width` bits that hold an unsigned number, a raw f32 (`is_float`), or a member of `choices`."""

    width: int
    doc: str
    choices: type[IntEnum] | None = None
    is_float: bool = False


def field(
    width: int,
    doc: str,
    *,
    default: int = 0,
    choices: type[IntEnum] | None = None,
) -> int:
    """Declare a field of an instruction class; typed as int for the dataclass that holds it."""
    return dataclass_field(default=default, metadata={"bits": Field(width, doc, choices)})


def real(doc: str) -> float:
    """Declare a 32-bit float field."""
    return dataclass_field(default=0.0, metadata={"bits": Field(32, doc, is_float=True)})
