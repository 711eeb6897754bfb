"""Measurements that nobody made, for tests of what is written about them."""

from __future__ import annotations

from benchmarks.cpu.measurement import TESTS
from benchmarks.cpu.samples import Sample
from benchmarks.cpu.variants import VARIANTS

SPEEDS = {("cosyn", "w4a16_g32"): 60.0, ("llama.cpp", "Q4_0"): 40.0, ("llama.cpp", "Q4_K_M"): 50.0}


def samples(rounds: int = 3) -> list[Sample]:
    """Every variant at every shape; round by round one token per second more, for all alike."""
    found = []
    for shape, threads in (("1.1B", 2), ("15M", 2), ("1.1B", 1)):
        for variant in VARIANTS:
            base = SPEEDS.get((variant.engine, variant.bits), 20.0) * threads / 2
            found += [
                Sample(shape, variant.engine, variant.bits, threads, test, turn, base + turn, 40e9, 1e9)
                for turn in range(rounds)
                for test in TESTS
            ]
    return found
