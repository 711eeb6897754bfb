"""N:16 sparsity: which weights of a matrix are kept, and what dropping the others loses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.ir.weight_format import BLOCK

Array = npt.NDArray[Any]

# Weights looked at to judge a matrix: a large one has many times as many, but energy needs no more.
_SAMPLE = 1 << 22

# Pairs of rows treated at once: the temporaries of a piece stay small.
_PIECE = 1 << 17


def prune(array: Array, kept: int) -> npt.NDArray[np.float32]:
    """`array` `[..., rows, columns]` as f32, zero outside the `kept` columns of each 16 with the largest energy.

    Rows 2 i and 2 i + 1 keep the same columns (those whose two squares have the largest sums), since the two output
    columns of a chain of multipliers share their selection of activations.
    """
    *lead, rows, columns = array.shape
    x = np.zeros((*lead, -(-rows // 2) * 2, -(-columns // BLOCK) * BLOCK), np.float32)
    x[..., :rows, :columns] = array
    blocks = x.reshape(*lead, -1, 2, x.shape[-1] // BLOCK, BLOCK)
    energy = np.square(blocks).sum(-3)
    # Columns beyond the last are chosen only where there is nothing else.
    energy.reshape(*energy.shape[:-2], -1)[..., columns:] = -1
    dropped = np.argsort(energy, -1, kind="stable")[..., : BLOCK - kept]
    shape = (*dropped.shape[:-2], 2, *dropped.shape[-2:])
    np.put_along_axis(blocks, np.broadcast_to(dropped[..., None, :, :], shape), 0, -1)
    return x[..., :rows, :columns]


def pruning_losses(array: Array, choices: Sequence[int]) -> list[float]:
    """The energy (sum of squares) that `prune` takes from `array` `[..., rows, columns]` for each `kept` in `choices`.

    Nothing for 16, all for 0. Of a large array evenly spread pairs of rows are looked at, and stand for the rest.
    """
    lost = np.zeros(BLOCK + 1)
    seen = 0
    for energy in _pair_energies(array):
        lost[1:] += np.cumsum(np.sort(energy, -1).sum((0, 1)))
        seen += len(energy)
    pairs = array.size // (array.shape[-2] * array.shape[-1]) * -(-array.shape[-2] // 2)
    return [float(lost[BLOCK - kept]) * pairs / seen for kept in choices]


def _pair_energies(array: Array) -> Iterator[npt.NDArray[np.float64]]:
    """Energies [pairs, blocks, 16] of rows 2 i and 2 i + 1 together, zero beyond the last row and column."""
    rows, columns = array.shape[-2:]
    matrices = array.reshape(-1, rows, columns)
    pairs, blocks = -(-rows // 2), -(-columns // BLOCK)
    total = len(matrices) * pairs
    chosen = np.linspace(0, total, min(total, max(1, _SAMPLE // (2 * columns))), endpoint=False).astype(np.int64)
    step = max(1, _PIECE // columns)
    for start in range(0, len(chosen), step):
        matrix, pair = np.divmod(chosen[start : start + step], pairs)
        energy = np.zeros((len(pair), blocks * BLOCK))
        for row in (2 * pair, 2 * pair + 1):
            there = row < rows
            energy[there, :columns] += np.square(matrices[matrix[there], row[there]].astype(np.float32))
        yield energy.reshape(len(pair), blocks, BLOCK)
