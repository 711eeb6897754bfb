"""Instructions before their buffers have addresses: what they read and write, by buffer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cosyn.accelerator_model.isa import Instruction


class Space(Enum):
    """What a buffer lies in: lines of the vector buffer, lines of the activation banks, stripes of memory."""

    VECTOR = "vector buffer"
    ACTIVATION = "activation buffer"
    MEMORY = "memory"


@dataclass(eq=False)
class Buffer:
    """Room of `lines` lines, live from moment `first` to `last` of the step, at the same address on all cores."""

    name: str
    space: Space
    lines: int
    first: int
    last: int
    address: int = -1

    def extend(self, moment: int) -> None:
        """Keep it alive at `moment`."""
        self.first, self.last = min(self.first, moment), max(self.last, moment)


@dataclass(frozen=True, slots=True)
class At:
    """A line of a buffer, or (`unit` > 1) a word: resolves to (address + line) unit + word."""

    buffer: Buffer
    line: int = 0
    unit: int = 1
    word: int = 0

    def resolve(self) -> int:
        return (self.buffer.address + self.line) * self.unit + self.word


@dataclass(frozen=True, slots=True)
class Span:
    """`rows` runs of `length` lines of a buffer, `stride` apart."""

    buffer: Buffer
    line: int
    length: int
    rows: int = 1
    stride: int = 0

    def runs(self) -> list[tuple[int, int]]:
        """Address ranges [first, end), once the buffer has an address; adjacent runs are one."""
        start = self.buffer.address + self.line
        if self.rows == 1 or self.stride == self.length:
            return [(start, start + self.rows * self.length)]
        if self.stride < self.length:
            return [(start, start + (self.rows - 1) * self.stride + self.length)]
        return [(start + r * self.stride, start + r * self.stride + self.length) for r in range(self.rows)]


@dataclass(eq=False)
class Draft:
    """An instruction of one core. `ring`, `stripes`: the stripes that it adds to or takes from a ring, at most.

    `cached`: a load of keys, values or their scales, which waits for this step's own.
    """

    kind: type[Instruction]
    fields: dict[str, int | float | At]
    node: str
    moment: int
    reads: tuple[Span, ...] = ()
    writes: tuple[Span, ...] = ()
    ring: int | None = None
    stripes: int = 0
    cached: bool = False
    wait: int = field(default=0, init=False)
    release: int = field(default=0, init=False)

    def build(self) -> Instruction:
        """The instruction, with addresses and masks."""
        values = {k: v.resolve() if isinstance(v, At) else v for k, v in self.fields.items()}
        return self.kind(**values, wait=self.wait, release=self.release)
