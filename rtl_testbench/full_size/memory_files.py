"""The memory of every core as a file, written once and mapped by whoever needs it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np

from cosyn.rtl_testbench.full_size.step import CONSTANT, Bytes, RandomStep


class MemoryFiles:
    """One file per core in a folder. Constants that an earlier run left there are used again."""

    def __init__(self, folder: Path, step: RandomStep) -> None:
        """Write what is missing, and everything that steps change."""
        folder.mkdir(parents=True, exist_ok=True)
        self.step, self.config = step, step.config
        self.paths = [folder / f"core{core}.bin" for core in range(self.config.cores)]
        mark, key = folder / "constants", _key(step)
        if not mark.exists() or mark.read_text(encoding="utf-8") != key:
            mark.unlink(missing_ok=True)
            for path, memory in zip(self.paths, step.layout.maps, strict=True):
                with path.open("wb") as handle:
                    handle.truncate(memory.stripes * self.config.stripe_bytes)
            shared = self.shared()
            for core, region, data in step.constants():
                shared[core][region.address : region.address + region.stripes] = data
            mark.write_text(key, encoding="utf-8")
        shared = self.shared()
        for core, region, data in step.variables():
            shared[core][region.address : region.address + region.stripes] = data

    def shared(self) -> list[Bytes]:
        """The memories themselves [stripes, stripe_bytes]: writes go to the files."""
        return [self._map(path, "r+") for path in self.paths]

    def private(self) -> list[Bytes]:
        """The memories as they are now, whatever others write later; writes stay here. Constants take no memory."""
        found = [self._map(path, "c") for path in self.paths]
        for memory, regions in zip(found, self.step.layout.maps, strict=True):
            for region in regions.regions.values():
                if region.kind not in CONSTANT:
                    # A write to every page: from here on it is a copy.
                    part = memory[region.address : region.address + region.stripes]
                    part[:] = part.copy()
        return found

    def _map(self, path: Path, mode: Literal["r+", "c"]) -> Bytes:
        mapped: Bytes = np.memmap(path, np.uint8, mode)
        return mapped.reshape(-1, self.config.stripe_bytes)


def _key(step: RandomStep) -> str:
    """Changes with everything that decides the constants."""
    digest = hashlib.sha256(repr((step.config, step.seed, step.graph.metadata.get("name"))).encode())
    for memory in step.layout.maps:
        digest.update(repr([(r.name, r.kind, r.address, r.stripes) for r in memory.regions.values()]).encode())
    for linear in step.layout.plan.linears.values():
        digest.update(repr((linear.weight, linear.format, linear.steps, linear.tile_words)).encode())
        digest.update(linear.rows.tobytes() + b"".join(columns.tobytes() for columns in linear.columns.cores))
    for block in step.layout.parameters.blocks:
        digest.update(repr([(item.key, item.ref, item.line, item.lines) for item in block.items]).encode())
    return digest.hexdigest()
