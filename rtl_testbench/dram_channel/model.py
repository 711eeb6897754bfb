"""The rules of a memory channel in a few lines: which cycle moves which beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cosyn.accelerator_model.config import MemoryTiming


@dataclass(frozen=True, slots=True)
class Burst:
    """`beats` beats from `address`, whose address handshake was in cycle `arrival`."""

    arrival: int
    write: bool
    address: int
    beats: int


def beat_cycles(bursts: Sequence[Burst], beat_bytes: int, timing: MemoryTiming) -> Iterator[list[int]]:
    """For each burst, in order of arrival (reads first within a cycle), the cycles in which its beats move."""
    free, row, write = 0, None, False
    for burst in bursts:
        cycle = max(free, burst.arrival + 1)
        if row is None or burst.address // timing.row_bytes not in (row, row + 1):
            cycle += timing.row_miss_cycles
        if row is not None and burst.write != write:
            cycle += timing.turnaround_cycles
        cycles: list[int] = []
        while len(cycles) < burst.beats:
            if cycle % timing.refresh_interval_cycles >= timing.refresh_cycles:
                cycles.append(cycle)
            cycle += 1
        free, write = cycle, burst.write
        row = (burst.address + (burst.beats - 1) * beat_bytes) // timing.row_bytes
        yield cycles
