"""Weights drawn in their stored form, for models whose size matters and whose text does not."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.errors import ModelError
from cosyn.accelerator_model.reference.weights import Matrix, int8_matrix
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator, WeightReader
from cosyn.ir.weight_format import BLOCK, QuantizedWeight

_MEAN_SCALE = 8.5
"""Of the integer group scales, which are 1 to 16: with the lowest 4-bit code the product is -128."""


class RandomWeights:
    """A `MatrixSource` that draws every quantized matrix anew from its name and a seed: nothing is kept in memory.

    Codes are uniform over their range, N:16 patterns over the choices of N, group scales over 1..16 (or as far as the
    products fit INT8), and row scales such that rows of unit variance give rows of about unit variance. Other weights
    come from `reader`.
    """

    def __init__(self, graph: Graph, reader: WeightReader, seed: int) -> None:
        self._types = graph.types
        self._evaluator = ConstantEvaluator(graph, reader)
        self._seed = seed

    def values(self, ref: str) -> npt.NDArray[Any]:
        """The array of an unquantized weight or constant."""
        return self._evaluator.get(ref)

    def matrix(self, ref: str) -> Matrix:
        """The INT8 form of a quantized weight or constant."""
        return int8_matrix(ref, self.stored(ref))

    def stored(self, ref: str) -> QuantizedWeight:
        """The codes and scales of a quantized weight or constant; ModelError for one that has none."""
        kind = self._types[ref]
        fmt = kind.format
        if fmt is None or not fmt.symmetric:
            raise ModelError(f"{ref}: expected a matrix of signed codes, found {kind}")
        rows, columns = (int(d) for d in kind.shape)
        rng = np.random.default_rng([self._seed, zlib.crc32(ref.encode())])
        shift = np.int8(8 - fmt.bits)
        # The high bits of random bytes, shifted arithmetically: uniform over the codes.
        codes = np.frombuffer(rng.bytes(rows * columns), np.int8).reshape(rows, columns) >> shift
        spread = 2.0**fmt.bits / 12**0.5
        if fmt.kept:
            codes = np.where(_pattern(rng, rows, columns, fmt.kept), codes, np.int8(0))
            spread *= (fmt.kept / BLOCK) ** 0.5
        integers = None
        if fmt.integer_scales:
            groups = -(-columns // fmt.group(columns))
            highest = min(16, 128 >> fmt.bits - 1)
            integers = rng.integers(1, highest + 1, (rows, groups), np.uint8)
            spread *= _MEAN_SCALE
        scales = (rng.uniform(0.5, 1.5, (rows, 1)) / (spread * columns**0.5)).astype(np.float32)
        return QuantizedWeight(fmt, codes, scales, None, integers)


def _pattern(rng: np.random.Generator, rows: int, columns: int, kept: int) -> npt.NDArray[np.bool_]:
    """Which columns are kept, `kept` of each block: the same for rows 2 i and 2 i + 1."""
    draws = rng.random((-(-rows // 2), -(-columns // BLOCK), BLOCK), np.float32)
    # By order, not by size: two draws may be equal.
    chosen = np.argpartition(draws, kept - 1, axis=-1)[..., :kept]
    found = np.zeros(draws.shape, np.bool_)
    np.put_along_axis(found, chosen, True, axis=-1)
    return np.repeat(found.reshape(len(found), -1), 2, axis=0)[:rows, :columns]
