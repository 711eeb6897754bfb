"""What a linear schedule may choose without changing its result: measured defaults, to be tuned for a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any


def tunable(default: int, *others: int) -> Any:
    """A field with its measured default, and the values that `cosyn tune` tries besides."""
    return field(default=default, metadata={"others": others})


@dataclass(frozen=True, slots=True)
class LinearChoice:
    """Sizes that a schedule of a linear layer is free in; the defaults are the best on a Zen 4 of two cores.

    `serial_bytes`: weights of one token up to this many bytes stay on one thread: they take less time (about 3 µs)
    than waking another saves.
    """

    serial_bytes: int = tunable(1 << 16, 0, 1 << 18)


DEFAULT_CHOICE = LinearChoice()


@dataclass(frozen=True, slots=True)
class ManyRowsChoice:
    """Sizes that a linear on any number of rows is free in; the defaults are the best on a Zen 4 of two cores.

    `accumulators`: vectors of sums that a tile keeps in registers; the tile is as wide as a block of weight rows,
    and as many rows of x high as that leaves. More rows read the weights less often from the cache, and make the
    last tile of a prompt that they do not divide emptier.
    `tile_rows`: rows of x of a tile where no microkernel fixes its shape.
    """

    accumulators: int = tunable(16, 8, 24)
    tile_rows: int = tunable(8, 4, 6, 12)


DEFAULT_MANY_ROWS = ManyRowsChoice()


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """All that one linear kernel may choose; a field that its schedule does not ask for has no effect."""

    few_rows: LinearChoice = DEFAULT_CHOICE
    many_rows: ManyRowsChoice = DEFAULT_MANY_ROWS

    def values(self) -> dict[str, int]:
        """Every choice by name."""
        return {f.name: getattr(part, f.name) for part in (self.few_rows, self.many_rows) for f in fields(part)}

    def changed(self) -> dict[str, int]:
        """The choices that are not the default."""
        default = DEFAULT_KERNEL_CHOICE.values()
        return {name: value for name, value in self.values().items() if value != default[name]}

    def with_values(self, values: Mapping[str, int]) -> KernelChoice:
        """This choice with some of its values replaced; KeyError for a name that does not exist."""
        few, many = ({f.name for f in fields(part)} for part in (LinearChoice, ManyRowsChoice))
        unknown = values.keys() - few - many
        if unknown:
            raise KeyError(min(unknown))
        return KernelChoice(
            replace(self.few_rows, **{n: v for n, v in values.items() if n in few}),
            replace(self.many_rows, **{n: v for n, v in values.items() if n in many}),
        )


DEFAULT_KERNEL_CHOICE = KernelChoice()


def alternatives() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each choice by name, with the values to try besides the default."""
    for part in (LinearChoice, ManyRowsChoice):
        for f in fields(part):
            yield f.name, f.metadata["others"]
