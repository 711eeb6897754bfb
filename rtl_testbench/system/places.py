"""Elements of a core's buffers and memory, and how two sets of written ones differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Place(NamedTuple):
    """An f32 word of the vector buffer or an INT8 byte of the activation buffer."""

    buffer: Literal["vector", "activation"]
    bank: int
    line: int
    part: int
    """Lane of the line, or its byte."""

    def __str__(self) -> str:
        if self.buffer == "vector":
            return f"vector line {self.line} lane {self.part}"
        return f"activation bank {self.bank} line {self.line} byte {self.part}"

    def value(self, bits: int) -> str:
        """What the bits at this place mean."""
        if self.buffer == "activation":
            return str(bits - 256 if bits > 127 else bits)
        return f"{bits:#010x} ({np.uint32(bits).view(np.float32)})"


def first_written_difference(expected: Mapping[Place, int], found: Mapping[Place, int]) -> str | None:
    """The first of the places, in order, that was written differently, with both values."""
    differences = list(_differences(expected, found))
    if not differences:
        return None
    place, text = differences[0]
    return f"{place}: {text} ({len(differences)} of {len(expected)} elements differ)"


def _differences(expected: Mapping[Place, int], found: Mapping[Place, int]) -> Iterator[tuple[Place, str]]:
    for place, value in sorted(expected.items()):
        if place not in found:
            yield place, f"the RTL never wrote it, expected {place.value(value)}"
        elif found[place] != value:
            yield place, f"the RTL has {place.value(found[place])}, expected {place.value(value)}"


def first_stored_difference(stripes: npt.NDArray[np.intp], expected: Bytes, found: Bytes) -> str | None:
    """The first byte of memory `stripes` in which `found` differs from `expected`, both [stripes, bytes]."""
    different = np.argwhere(expected != found)
    if not len(different):
        return None
    row, byte = (int(part) for part in different[0])
    return (
        f"memory stripe {int(stripes[row])} byte {byte}: the RTL has {int(found[row, byte]):#04x},"
        f" expected {int(expected[row, byte]):#04x} ({len(different)} of {expected.size} bytes differ)"
    )
