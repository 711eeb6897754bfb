"""What a linear schedule may choose without changing its result: measured defaults, to be tuned for a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinearChoice:
    """Sizes that a schedule of a linear layer is free in; the defaults are the best on a Zen 4 of two cores.

    `serial_bytes`: weights of one token up to this many bytes stay on one thread: they take less time (about 3 µs)
    than waking another saves.
    """

    serial_bytes: int = 1 << 16


DEFAULT_CHOICE = LinearChoice()


@dataclass(frozen=True, slots=True)
class ManyRowsChoice:
    """Sizes that a linear on any number of rows is free in; the defaults are the best on a Zen 4 of two cores.

    `accumulators`: vectors of sums that a tile keeps in registers; the tile is as wide as a block of weight rows,
    and as many rows of x high as that leaves. More rows read the weights less often from the cache, and make the
    last tile of a prompt that they do not divide emptier.
    """

    accumulators: int = 16


DEFAULT_MANY_ROWS = ManyRowsChoice()
