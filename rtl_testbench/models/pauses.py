"""When a source idles or a sink is not ready."""

from __future__ import annotations

import random
from collections.abc import Callable

Pause = Callable[[], bool]
"""Asked once a cycle: True pauses the source or sink in that cycle."""


def never() -> bool:
    """No pause."""
    return False


def sometimes(random_source: random.Random, share: float) -> Pause:
    """A pause in that share of the cycles, in bursts of a few cycles."""
    left = 0

    def pause() -> bool:
        nonlocal left
        if left:
            left -= 1
            return True
        if random_source.random() < share / (3.0 - 2.0 * share):
            left = random_source.randrange(4)
            return True
        return False

    return pause


def blocked_until(release: Callable[[], bool]) -> Pause:
    """Paused until `release()` is true."""
    return lambda: not release()
