"""An engine without a model, for tests of the machinery: `bits` says how it behaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.cpu.engines.serve import Loaded, serve
from benchmarks.cpu.measurement import Test
from benchmarks.cpu.shapes import Shape

SECONDS = 0.5


class FakeEngine:
    """Takes `SECONDS` for anything, by its own account, and prints where answers must not go."""

    def prepare(self, shape: Shape, bits: str, folder: Path) -> None:
        if bits == "unmade":
            raise RuntimeError("no room for the\nfile")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / bits).write_text("made", encoding="utf-8")

    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        print("a library talks")
        self.bits, self.log = bits, folder / f"{bits}.log"
        return Loaded("1.2", 1000, 10)

    def measure(self, test: Test) -> float:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{test.kind} {test.tokens} {test.context}\n")
        if self.bits == "dies":
            os._exit(3)
        if self.bits == "hangs":
            time.sleep(60)
        return SECONDS


if __name__ == "__main__":
    serve(FakeEngine())
