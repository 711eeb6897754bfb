"""No engine: how fast this machine's memory is read at the moment, with the kernel of a cosyn artifact.

Measures one test whatever it is called: the seconds that the best of several reads of the same GiB takes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import cosyn
from benchmarks.cpu.engines.cosyn_engine import Cosyn
from benchmarks.cpu.engines.serve import Loaded, seconds, serve
from benchmarks.cpu.measurement import Test
from benchmarks.cpu.shapes import Shape
from cosyn.runtime.loader import load_executor, open_artifact
from cosyn.runtime.tensor_memory import HostBuffer
from cosyn.runtime.vm_executor import VMExecutor

BYTES = 1 << 30
_REPEATS = 3


class ReadBandwidth(Cosyn):
    """Memory beyond any cache, and the kernel that reads it."""

    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        executor = load_executor(open_artifact(folder / "cosyn" / bits), threads=threads)
        assert isinstance(executor, VMExecutor)
        self._kernel = executor.library_function("read_bandwidth")
        self._data, self._total = HostBuffer((BYTES // 4,), "f32"), HostBuffer((1,), "f32")
        # Untouched pages of zeros all share one physical page, which would be read from the cache.
        self._data.array[...] = np.float32(1)
        return Loaded(cosyn.__version__, BYTES, 0)

    def measure(self, test: Test) -> float:
        # The first wakes the threads.
        runs = [seconds(lambda: self._kernel(self._data.tensor, self._total.tensor)) for _ in range(1 + _REPEATS)]
        return min(runs[1:])


if __name__ == "__main__":
    serve(ReadBandwidth())
