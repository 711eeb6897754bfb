"""The measuring itself: engines of one width are loaded together and take turns, test by test, round by round.

Before and after each measurement the read bandwidth is measured too: a shared machine's memory is faster at one moment
than at another. A measurement during which it changed is made again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cpu.engines.serve import Loaded
from benchmarks.cpu.measurement import parse_test
from benchmarks.cpu.process import EngineError, EngineProcess
from benchmarks.cpu.samples import Sample, SampleFile
from benchmarks.cpu.variants import READER, Variant

_BEGUN = time.monotonic()
_CORES = len(os.sched_getaffinity(0))
_PREPARE, _LOAD, _MEASURE = 1800.0, 300.0, 400.0
"""Seconds after which an engine counts as failed. The first measurement may include a compilation."""
_AT_LEAST = 0.3
"""Seconds of runs that make one measurement."""
_STEADY, _TRIES = 0.2, 3
"""By which part the read bandwidth may change during a measurement, and how often one is tried."""


@dataclass(frozen=True, slots=True)
class Group:
    """Variants that take turns at one shape, on one number of threads."""

    shape: str
    threads: int
    variants: tuple[Variant, ...]
    tests: tuple[str, ...]
    rounds: int


@dataclass(frozen=True, slots=True)
class Missing:
    """A variant that was not measured, and why."""

    engine: str
    bits: str
    shape: str
    absent: bool
    reason: str


@dataclass
class Measured:
    """What is known so far."""

    file: SampleFile
    missing: list[Missing] = field(default_factory=list)


Running = tuple[EngineProcess, Loaded]


class Rounds:
    """Prepares and measures groups; what fails is noted, and the rest goes on."""

    def __init__(self, measured: Measured, work: Path, reader_shape: str) -> None:
        """`work`: where models, artifacts and logs lie."""
        self._measured = measured
        self._work = work
        self._reader_shape = reader_shape

    def prepare(self, groups: Sequence[Group]) -> list[Group]:
        """The groups without the variants whose files cannot be made."""
        wanted = list(dict.fromkeys((v, g.shape) for g in groups for v in g.variants))
        failed = {w for module in dict.fromkeys(v.module for v, _ in wanted)
                  for w in self._prepare([w for w in wanted if w[0].module == module])}  # fmt: skip
        return [
            Group(g.shape, g.threads, tuple(v for v in g.variants if (v, g.shape) not in failed), g.tests, g.rounds)
            for g in groups
        ]

    def prepare_reader(self) -> None:
        """Make the library that reads; EngineError where that fails, for then nothing can be measured."""
        with EngineProcess(READER, _CORES, self._work / "logs") as process:
            process.ask(self._request("prepare", READER, self._reader_shape, 1), _PREPARE)

    def _prepare(self, wanted: Sequence[tuple[Variant, str]]) -> Iterator[tuple[Variant, str]]:
        """Ask one process, for all are of one module; yields what it cannot make."""
        process: EngineProcess | None = None
        for variant, shape in wanted:
            _say(f"{shape}: preparing {variant.name}")
            try:
                if process is None:
                    process = EngineProcess(variant, _CORES, self._work / "logs")
                process.ask(self._request("prepare", variant, shape, 1), _PREPARE)
            except EngineError as error:
                yield variant, shape
                self._miss(variant, shape, error)
                if process is not None and not process.alive:
                    process.close()
                    process = None
        if process is not None:
            process.close()

    def measure(self, group: Group) -> None:
        """All rounds of a group, but for those that are done."""
        wanted = [v for v in group.variants if any(self._open(group, v, t, r) for t, r in _turns(group))]
        if not wanted:
            return
        _say(f"{group.shape}, {group.threads} threads: loading {', '.join(v.name for v in wanted)}")
        with ExitStack() as stack:
            reader = stack.enter_context(EngineProcess(READER, group.threads, self._work / "logs"))
            read = _loaded(reader.ask(self._request("load", READER, self._reader_shape, group.threads), _LOAD))
            self._take_turns(group, self._start(group, wanted, stack), reader, read.weight_bytes)

    def _start(self, group: Group, wanted: Sequence[Variant], stack: ExitStack) -> dict[Variant, Running]:
        """The processes of those that can be loaded, which end with `stack`."""
        running: dict[Variant, Running] = {}
        for variant in wanted:
            try:
                process = stack.enter_context(EngineProcess(variant, group.threads, self._work / "logs"))
                loaded = _loaded(process.ask(self._request("load", variant, group.shape, group.threads), _LOAD))
            except EngineError as error:
                self._miss(variant, group.shape, error)
            else:
                running[variant] = process, loaded
        return running

    def _take_turns(self, group: Group, running: dict[Variant, Running], reader: EngineProcess, nbytes: int) -> None:
        """Every test in every round, with `reader` reading `nbytes` in between."""
        before = _bandwidth(reader, nbytes)
        for test, turn in _turns(group):
            # Whoever begins finds the machine's caches as another test left them: each begins in its turn.
            first = turn % max(1, len(running))
            for variant in (*list(running)[first:], *list(running)[:first]):
                if not self._open(group, variant, test, turn):
                    continue
                process, loaded = running[variant]
                request: dict[str, object] = {"do": "measure", "test": test, "at_least": _AT_LEAST}
                try:
                    for _ in range(_TRIES):
                        seconds = _seconds(process.ask(request, _MEASURE))
                        first_read, before = before, _bandwidth(reader, nbytes)
                        if abs(before - first_read) <= _STEADY * max(before, first_read):
                            break
                except EngineError as error:
                    self._miss(variant, group.shape, error, test)
                    running.pop(variant)[0].close()
                    continue
                self._add(group, variant, loaded, test, turn, seconds, (first_read + before) / 2)

    def _add(
        self, group: Group, variant: Variant, loaded: Loaded, test: str, turn: int, seconds: float, bandwidth: float
    ) -> None:
        known = parse_test(test)
        cached = loaded.kv_bytes_per_position * (known.context + known.tokens // 2)
        sample = Sample(
            group.shape, variant.engine, variant.bits, group.threads, test, turn, known.tokens / seconds, bandwidth,
            loaded.weight_bytes + cached, loaded.version,
        )  # fmt: skip
        self._measured.file.add(sample)
        share = f", {sample.roofline_fraction:.0%}" if known.kind == "decode" else ""
        speed = f"{sample.tokens_per_second:.1f} tokens/s at {bandwidth / 1e9:.1f} GB/s{share}"
        _say(f"{group.shape} {group.threads}t round {turn + 1} {test:9} {variant.name:22} {speed}")

    def _open(self, group: Group, variant: Variant, test: str, turn: int) -> bool:
        """Whether a measurement is asked for and not yet there."""
        key = (group.shape, variant.engine, variant.bits, group.threads, test)
        return variant.measures(group.shape, test) and not self._measured.file.done(key, turn)

    def _request(self, what: str, variant: Variant, shape: str, threads: int) -> dict[str, object]:
        bits = variant.asked or variant.bits
        return {"do": what, "shape": shape, "bits": bits, "folder": str(self._work / shape), "threads": threads}

    def _miss(self, variant: Variant, shape: str, error: EngineError, test: str = "") -> None:
        reason = f"{test}: {error}" if test else str(error)
        self._measured.missing.append(Missing(variant.engine, variant.bits, shape, error.absent, reason))
        _say(f"{shape}: {variant.name} is {'absent' if error.absent else 'not measured'}: {reason}")


def _turns(group: Group) -> Iterator[tuple[str, int]]:
    return ((test, turn) for turn in range(group.rounds) for test in group.tests)


def _bandwidth(reader: EngineProcess, nbytes: int) -> float:
    """Bytes per second; what the test is called is nothing to the reader."""
    return nbytes / _seconds(reader.ask({"do": "measure", "test": "pp1"}, _MEASURE))


def _seconds(answer: dict[str, object]) -> float:
    seconds = answer["seconds"]
    assert isinstance(seconds, float)
    return seconds


def _loaded(answer: dict[str, object]) -> Loaded:
    version, weights, kv = (answer[k] for k in ("version", "weight_bytes", "kv_bytes_per_position"))
    assert isinstance(weights, int)
    assert isinstance(kv, int | float)
    return Loaded(str(version), weights, kv)


def _say(line: str) -> None:
    elapsed = int(time.monotonic() - _BEGUN)
    print(f"[{elapsed // 60:2}:{elapsed % 60:02}] {line}", file=sys.stderr, flush=True)
