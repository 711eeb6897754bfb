"""Random weights: the same for a seed and a name, whatever the order in which they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from cosyn.ir.types import TensorType
from cosyn.ir.weights import Array, missing

_LEVELS = 1 << 16
_PIECE = 1 << 22


@dataclass(frozen=True)
class RandomWeights:
    """A weight store of normal numbers, made when loaded.

    Matrices and biases are N(0, `deviation`²); vectors named `…weight`, which are the scales of norms, are
    1 + N(0, deviation²).
    """

    types: Mapping[str, TensorType]
    seed: int
    deviation: float = 0.02

    def keys(self) -> Iterable[str]:
        return self.types.keys()

    def type(self, key: str) -> TensorType:
        if key not in self.types:
            raise missing(key, self.types)
        return self.types[key]

    def load(self, key: str) -> Array:
        declared = self.type(key)
        near_one = declared.rank == 1 and key.endswith("weight")
        table = _quantiles(self.deviation, 1.0 if near_one else 0.0).astype(declared.dtype.numpy)
        digest = hashlib.blake2b(f"{self.seed}:{key}".encode(), digest_size=16).digest()
        generator = np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))
        out = np.empty([int(d) for d in declared.shape], declared.dtype.numpy)
        flat = out.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            index = np.frombuffer(generator.bytes(2 * piece.size), "<u2")
            np.take(table, index, out=piece)
        return out


@lru_cache(maxsize=8)
def _quantiles(deviation: float, mean: float) -> Array:
    """Equally likely values of the normal distribution, one for each sixteen random bits: fast to draw."""
    probability = (np.arange(_LEVELS) + 0.5) / _LEVELS
    values: Array = ndtri(probability) * deviation + mean
    return values
