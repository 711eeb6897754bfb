"""Where the reference takes its weights from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.errors import ModelError
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator, WeightReader
from cosyn.ir.weight_format import QuantizedWeight, WeightFormat

Quantize = Callable[[npt.NDArray[Any], WeightFormat], QuantizedWeight]
"""Values and format -> codes: the packer's own function, so that the reference has the codes that are packed."""


class Matrix(NamedTuple):
    """What the matrix engine multiplies with: real weight = `codes` i8 [n, k] · `scales` f32 [n]."""

    codes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]


class MatrixSource(Protocol):
    """Weights by reference, `@name`."""

    def values(self, ref: str) -> npt.NDArray[Any]:
        """The array of an unquantized weight or constant."""
        ...

    def matrix(self, ref: str) -> Matrix:
        """The INT8 form of a quantized weight or constant."""
        ...


class QuantizedWeights:
    """Weights of a checkpoint, quantized when first asked for and kept (INT8: a byte per weight)."""

    def __init__(self, graph: Graph, reader: WeightReader, quantize: Quantize) -> None:
        self._types = graph.types
        self._evaluator = ConstantEvaluator(graph, reader)
        self._quantize = quantize
        self._values: dict[str, npt.NDArray[Any]] = {}
        self._matrices: dict[str, Matrix] = {}

    def values(self, ref: str) -> npt.NDArray[Any]:
        """The array of an unquantized weight or constant."""
        if ref not in self._values:
            self._values[ref] = self._evaluator.get(ref)
        return self._values[ref]

    def matrix(self, ref: str) -> Matrix:
        """The INT8 form of a quantized weight or constant; ModelError for one that has none."""
        if ref not in self._matrices:
            fmt = self._types[ref].format
            if fmt is None:
                raise ModelError(f"{ref}: expected a quantized matrix, found {self._types[ref]}")
            self._matrices[ref] = int8_matrix(ref, self._quantize(self._evaluator.get(ref), fmt))
        return self._matrices[ref]


def int8_matrix(ref: str, weight: QuantizedWeight) -> Matrix:
    """`weight` as INT8 codes with one f32 scale per row; ModelError where its format has other scales."""
    plain = weight.expanded()
    if not plain.format.symmetric or plain.format.group_size or plain.codes.ndim != 2:
        raise ModelError(
            f"{ref}: the accelerator multiplies INT8 codes with one scale per row; found the format {weight.format}; "
            "choose a recipe such as w8a8 or w4a8_g32"
        )
    return Matrix(plain.codes.astype(np.int8, copy=False), plain.scales[:, 0].astype(np.float32))
