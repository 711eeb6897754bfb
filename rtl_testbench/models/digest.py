"""The digest of what a unit writes, as the contract of the retirement trace defines it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def fold(data: Bytes) -> int:
    """The xor of the 32-bit little-endian words of `data` (a whole number of words)."""
    return int(np.bitwise_xor.reduce(data.view("<u4"))) if data.size else 0


def step(digest: int, data: Bytes, address: int = 0) -> int:
    """The digest after one write of `data` (bytes that are not written are zero) to `address`."""
    return (digest << 1 & 0xFFFFFFFF | digest >> 31) ^ fold(data) ^ address
