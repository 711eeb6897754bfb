"""Single measurements, written down as they come, and the rows that they make."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cpu.measurement import parse_test


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one test, with the mean of the read bandwidths before and after it; both in units per second."""

    shape: str
    engine: str
    bits: str
    threads: int
    test: str
    round: int
    tokens_per_second: float
    bandwidth: float
    bytes_per_token: float
    version: str = ""
    """Of the engine."""

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What is the same for all rounds."""
        return self.shape, self.engine, self.bits, self.threads, self.test

    @property
    def roofline_fraction(self) -> float:
        return self.tokens_per_second * self.bytes_per_token / self.bandwidth


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results: medians over the rounds.

    `bytes_per_token`: weights read for one token and the cache in the middle of the run. A prompt is bound by
    arithmetic: it has neither bytes nor a share of the read bandwidth.
    """

    engine: str
    shape: str
    bits: str
    threads: int
    test: str
    tokens_per_second: float
    low: float
    high: float
    bytes_per_token: int | None
    roofline_fraction: float | None
    roofline_fraction_of_highest: float | None
    """Against the highest bandwidth seen in the whole run on as many threads."""
    samples: tuple[float, ...]
    """Tokens per second, round by round."""
    bandwidths: tuple[float, ...]
    """Bytes per second that were read from memory beside each of them."""


def rows(samples: Iterable[Sample]) -> list[Row]:
    """A row for each engine, format, shape, test and number of threads, in the order of the samples."""
    groups: dict[tuple[str, str, str, int, str], list[Sample]] = {}
    highest: dict[int, float] = {}
    for sample in samples:
        groups.setdefault(sample.key, []).append(sample)
        highest[sample.threads] = max(highest.get(sample.threads, 0.0), sample.bandwidth)
    return [_row(sorted(group, key=lambda s: s.round), highest) for group in groups.values()]


def _row(group: Sequence[Sample], highest: dict[int, float]) -> Row:
    first, speeds = group[0], [s.tokens_per_second for s in group]
    median = statistics.median(speeds)
    decodes = parse_test(first.test).kind == "decode"
    return Row(
        first.engine, first.shape, first.bits, first.threads, first.test, median, min(speeds), max(speeds),
        round(first.bytes_per_token) if decodes else None,
        statistics.median(s.roofline_fraction for s in group) if decodes else None,
        median * first.bytes_per_token / highest[first.threads] if decodes else None,
        tuple(speeds),
        tuple(s.bandwidth for s in group),
    )  # fmt: skip


class SampleFile:
    """The samples of a run so far, one JSON object per line after one that names the run."""

    def __init__(self, path: Path, run: dict[str, object], *, resume: bool) -> None:
        """Continue what `path` holds if that is of the same `run`, else begin anew."""
        self._path = path
        self.samples = list(_read(path, run)) if resume else []
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(run), *(json.dumps(asdict(s)) for s in self.samples)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(sample)) + "\n")

    def done(self, key: tuple[str, str, str, int, str], round: int) -> bool:
        """Whether a round of a row is there."""
        return any(s.round == round and s.key == key for s in self.samples)


def _read(path: Path, run: dict[str, object]) -> Iterable[Sample]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if lines and json.loads(lines[0]) == run:
        for line in lines[1:]:
            yield Sample(**json.loads(line))
