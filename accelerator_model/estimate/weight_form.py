"""How linears store their weights, as arrays: bits, group size and N of 16, and the stream they become."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import SPARSITY_BLOCK
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate.design import Design, ceil_div
from cosyn.ir.weight_format import WeightFormat

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WeightForm:
    """`bits` per code, one 8-bit scale per `group` stored weights (0: none), `kept` of 16 weights (16: dense)."""

    bits: int
    group: int = 0
    kept: int = SPARSITY_BLOCK

    def __post_init__(self) -> None:
        if self.bits not in (2, 3, 4, 8) or self.kept not in (2, 4, 8, 16) or self.group < 0:
            raise ConfigError(
                f"a weight form has 2, 3, 4 or 8 bits, a group of at least 0 and 16, 8, 4 or 2 kept of 16; found {self}"
            )
        if self.bits == 3 and self.kept != SPARSITY_BLOCK:
            raise ConfigError("3-bit weights are always dense: their words cannot be split at every second step")

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per weight of the dense matrix, scales and indices included."""
        # One 4-bit index serves both columns of a chain.
        index = 2.0 if self.kept != SPARSITY_BLOCK else 0.0
        scale = 8 / self.group if self.group else 0.0
        return self.kept / SPARSITY_BLOCK * (self.bits + index + scale)

    @staticmethod
    def of_format(storage: WeightFormat) -> WeightForm:
        """The form of a weight stored in `storage`; ConfigError where the accelerator has none for it."""
        if not storage.symmetric or (storage.group_size and not storage.integer_scales):
            raise ConfigError(
                f"{storage}: the accelerator has signed codes, with one scale per row or integer group scales;"
                " use a recipe such as w8a8 or w4a8_g32"
            )
        return WeightForm(storage.bits, storage.group_size, storage.kept or SPARSITY_BLOCK)

    def __str__(self) -> str:
        group = f"_g{self.group}" if self.group else ""
        sparse = f"_{self.kept}of{SPARSITY_BLOCK}" if self.kept != SPARSITY_BLOCK else ""
        return f"w{self.bits}a8{group}{sparse}"


@dataclass(frozen=True, slots=True)
class WeightForms:
    """Many forms at once: one array per field, broadcast against a `Design`."""

    bits: Numbers
    group: Numbers
    kept: Numbers

    @staticmethod
    def of(*forms: WeightForm) -> WeightForms:
        """One form as numbers, several as arrays [forms]."""
        columns = [np.array([getattr(f, n) for f in forms], float) for n in ("bits", "group", "kept")]
        return WeightForms(*(c[0] if len(forms) == 1 else c for c in columns))

    def repeat(self, points: int) -> WeightForms:
        """Each form `points` times, one after the other."""
        return WeightForms(*(np.repeat(np.atleast_1d(v), points) for v in (self.bits, self.group, self.kept)))


@dataclass(frozen=True, slots=True)
class Stream:
    """A matrix of one core as a tile stream: column tiles, steps of a tile, and words of a tile."""

    tiles: Numbers
    steps: Numbers
    words: Numbers

    @property
    def total_words(self) -> Numbers:
        """Words of the whole matrix."""
        return self.tiles * self.words


def stream(design: Design, form: WeightForms, rows: float | Numbers, columns: float | Numbers) -> Stream:
    """The stream of a matrix with `rows` inputs and `columns` outputs on one core: tile_stream.py as arrays."""
    sparse = form.kept != SPARSITY_BLOCK
    unit = np.maximum(np.select([form.bits == 2, form.bits == 3], [2.0, 4.0], 1.0), np.where(sparse, 2.0, 1.0))
    window = design.chain_length * SPARSITY_BLOCK / form.kept
    steps = ceil_div(rows, window * unit) * unit
    # Words of a step: 8 bits 2, 4 bits 1, 3 bits 3/4, 2 bits 1/2; sparse adds an index word for every two steps.
    words = steps * form.bits / 4 + np.where(sparse, steps / 2, 0.0)
    grouped = (form.group > 0) & (form.bits < 8)
    group_steps = np.maximum(1.0, form.group // design.chain_length)
    scale_words = ceil_div(steps, group_steps * np.maximum(1.0, design.chain_length // 2))
    return Stream(ceil_div(columns, design.tile_columns), steps, words + np.where(grouped, scale_words, 0.0))
