"""Runs on aarch64: calls every kernel of a library with its arrays, and stores what it left in them.

    aarch64_kernels.py LIBRARY FOLDER

FOLDER holds NAME.npz for each kernel: arrays a0, a1, … to call it with, in order. NAME.npy gets the last one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.tensor_memory import aligned_zeros, share
from cosyn.runtime.tvm_library import load_runtime, set_threads


def main(library: str, folder: Path) -> None:
    names = {t.numpy: name for name, t in BY_NAME.items() if name != "bf16"}
    set_threads(1)
    module = load_runtime().load_module(library)
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            arrays = [stored[f"a{i}"] for i in range(len(stored.files))]
        buffers = [aligned_zeros(a.shape, names[a.dtype]) for a in arrays]
        for buffer, array in zip(buffers, arrays, strict=True):
            buffer[...] = array
        module[path.stem](*map(share, buffers))
        np.save(path.with_suffix(".npy"), buffers[-1])


main(sys.argv[1], Path(sys.argv[2]))
