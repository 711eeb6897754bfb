"""N:16 sparsity: which weights of a matrix are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.ir.weight_format import BLOCK


def prune(array: npt.NDArray[Any], kept: int) -> npt.NDArray[np.float32]:
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
