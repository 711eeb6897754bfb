"""The digest of an instruction's writes: what the RTL and the simulator compare at every retirement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 32


def fold(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Exclusive or of the little-endian 32-bit words of each row of `[n, bytes]`."""
    words = np.ascontiguousarray(data).view(np.uint32)
    return np.asarray(np.bitwise_xor.reduce(words, axis=-1))


def rotate_xor(items: NDArray[np.uint32]) -> int:
    """s = 0; for each item: s = rotl1(s) ^ item.

    Item i is rotated by the number of items behind it, so items whose distance to the end is equal modulo 32 meet
    unrotated: they are combined first and rotated once.
    """
    count = items.size
    columns = np.zeros(-(-count // _WORD_BITS) * _WORD_BITS, np.uint32)
    columns[columns.size - count :] = items
    state = 0
    for position, word in enumerate(np.bitwise_xor.reduce(columns.reshape(-1, _WORD_BITS), axis=0).tolist()):
        turn = _WORD_BITS - 1 - position
        state ^= (word << turn | word >> (_WORD_BITS - turn)) & 0xFFFFFFFF
    return state


def digest(addresses: NDArray[np.integer], folded: NDArray[np.uint32]) -> int:
    """The digest of writes with those addresses and folded data, in order."""
    return rotate_xor((addresses.astype(np.uint32) ^ folded).reshape(-1))
