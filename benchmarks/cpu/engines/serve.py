"""The loop of an engine's process: one JSON object per line in, one out.

    {"do": "prepare", "shape": "15M", "bits": "Q8_0", "folder": "build/bench/15M"}   make the model's files, once
    {"do": "load", …the same, "threads": 2}     → {"version": …, "weight_bytes": …, "kv_bytes_per_position": …}
    {"do": "measure", "test": "tg64@512", "at_least": 0.3}     → {"seconds": …}   the median of runs over that time

What fails answers `{"error": …}`. An engine may print what it likes: that goes to stderr.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from benchmarks.cpu.measurement import Test, parse_test
from benchmarks.cpu.shapes import Shape, load_shape

DECODED_BEFORE = 4
"""Tokens decoded to warm up before the first measurement of a kind."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model: what decoding one token reads, apart from how fast."""

    version: str
    weight_bytes: int
    """Of all linears and the head, as stored; of the embedding table one row."""
    kv_bytes_per_position: float


class Engine(Protocol):
    """What an engine's module provides."""

    def prepare(self, shape: Shape, bits: str, folder: Path) -> None:
        """Make the files that `load` reads, unless they are there; `folder` is the shape's own."""
        ...

    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        """Load the model for up to `MAX_SEQ` positions."""
        ...

    def measure(self, test: Test) -> float:
        """Seconds of one run; the first of a kind warms up beforehand."""
        ...


def serve(engine: Engine) -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        _answer(engine, json.loads(line), answers)


def _answer(engine: Engine, request: dict[str, str], answers: IO[str]) -> None:
    try:
        answer = _do(engine, request)
    except Exception as error:
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _do(engine: Engine, request: dict[str, str]) -> dict[str, object]:
    if request["do"] == "measure":
        return {"seconds": _steady(engine, parse_test(request["test"]), float(request.get("at_least", 0)))}
    shape, bits, folder = load_shape(request["shape"]), request["bits"], Path(request["folder"])
    if request["do"] == "prepare":
        engine.prepare(shape, bits, folder)
        return {}
    return asdict(engine.load(shape, bits, folder, int(request["threads"])))


def _steady(engine: Engine, test: Test, at_least: float) -> float:
    """The median of as many runs as take that long: a short one alone would find its threads and caches cold."""
    runs = [engine.measure(test)]
    while sum(runs) < at_least:
        runs.append(engine.measure(test))
    return statistics.median(runs)


def random_tokens(shape: Shape, count: int, seed: int = 0) -> list[int]:
    """Token ids of a text that means nothing; without the first ids, which are often special."""
    return [int(t) for t in np.random.default_rng(seed).integers(3, shape.vocab_size, count)]


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
