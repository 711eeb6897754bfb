"""What the host driver needs of an accelerator: its memory and its registers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Stripes = NDArray[np.uint8]
"""[count, stripe bytes]: one beat of every memory channel of a core."""


class Transport(Protocol):
    """A device, its RTL in a simulator, or a model of it."""

    def read_memory(self, core: int, stripe: int, count: int) -> Stripes:
        """`count` stripes of a core's memory from `stripe` on."""
        ...

    def write_memory(self, core: int, stripe: int, data: Stripes) -> None:
        """Write whole stripes to a core's memory."""
        ...

    def read_register(self, offset: int) -> int:
        """The 32-bit control register at a byte offset."""
        ...

    def write_register(self, offset: int, value: int) -> None:
        """Write a 32-bit control register."""
        ...

    def load_program(self, core: int, address: int, data: bytes) -> None:
        """Write instructions to a core's instruction memory, at a byte address."""
        ...

    def wait_done(self, timeout: float) -> None:
        """Return when STATUS shows done or error; TimeoutError after `timeout` seconds."""
        ...
