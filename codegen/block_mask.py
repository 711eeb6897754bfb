"""A static block mask per head, from a file: part of the model's weights from then on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from cosyn.ir.errors import RequestError
from cosyn.passes.sparse_attention import BlockMask

KEY = "cosyn.block_mask"
"""Key of the mask beside the checkpoint's tensors."""


@dataclass(frozen=True)
class LoadedMask:
    """The mask's declaration for the passes, and its values u8 `[n_heads, rows, rows]` for the packer."""

    mask: BlockMask
    values: npt.NDArray[np.uint8]


def read_block_mask(path: Path) -> LoadedMask:
    """Read a .npz with `mask` (bool or u8, `[n_heads, rows, rows]`) and `block` (tokens per block).

    Block (i, j) of a head is attended to where `mask[head, i, j]` is not 0. Raises RequestError that names the
    file, what was expected and what was found.
    """
    expected = "expected a .npz with `mask` [n_heads, rows, rows] of bool or u8 and an integer `block`"
    try:
        with np.load(path) as file:
            arrays: dict[str, npt.NDArray[Any]] = dict(file)
    except FileNotFoundError as error:
        raise RequestError(f"block mask {path}: no such file; {expected}") from error
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise RequestError(f"block mask {path}: {expected}; {error}") from error
    missing = {"mask", "block"} - arrays.keys()
    if missing:
        raise RequestError(f"block mask {path}: {expected}; found {sorted(arrays)}")
    values, block = arrays["mask"], arrays["block"]
    if values.ndim != 3 or values.shape[1] != values.shape[2] or values.dtype not in (np.bool_, np.uint8):
        raise RequestError(f"block mask {path}: {expected}; `mask` is {values.dtype}{list(values.shape)}")
    if block.size != 1 or block.dtype.kind not in "iu" or int(block) < 1:
        raise RequestError(f"block mask {path}: {expected}; `block` is {block!r}")
    heads, rows, _ = values.shape
    return LoadedMask(BlockMask(KEY, heads, rows, int(block)), values.astype(np.uint8))
