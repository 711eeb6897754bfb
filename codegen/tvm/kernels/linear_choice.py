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
