"""`python -m benchmarks.cpu`: what `make bench` runs.

    python -m benchmarks.cpu                                              everything, into benchmarks/results
    python -m benchmarks.cpu --shapes 15M --engines cosyn,llama.cpp       a part, into build/bench/results
    python -m benchmarks.cpu --resume                                     go on with a run that was broken off
    PEERS=build/peers-avx2 python -m benchmarks.cpu --target cpu:avx2     code for a lesser CPU, beside peers built so

Files are made in build/bench and kept. The peers are those of scripts/bench_needs.sh; PEERS names another environment.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import this_machine
from benchmarks.cpu.engines.cosyn_engine import compiler_stamp
from benchmarks.cpu.measurement import TESTS, parse_test
from benchmarks.cpu.process import EngineError
from benchmarks.cpu.report import markdown, write_report
from benchmarks.cpu.rounds import Group, Measured, Rounds
from benchmarks.cpu.samples import Sample, SampleFile, rows
from benchmarks.cpu.shapes import shape_names
from benchmarks.cpu.variants import ENGINES, ROOT, VARIANTS

_SMALLEST = "15M"
_WIDTHS = ("32", "16", "8", "4")
_SINGLE_SHAPE, _SINGLE_TESTS = "1.1B", ("pp128", "tg64")
"""What is measured on one thread too."""
_QUICK_BITS = {"w8a8", "w4a8_g32", "BF16", "Q8_0", "Q4_0", "int8", "int4"}
_QUICK_TESTS = ("pp128", "tg64")


def main() -> int:
    """Prepare, measure, report; ends with 1 where no engine could be measured."""
    options = _options()
    work: Path = options.work.resolve()
    groups = list(_groups(options))
    run: dict[str, object] = {
        "compiler": compiler_stamp(), "machine": this_machine.describe(), "rounds": options.rounds,
        "tests": options.tests, "threads": options.threads, "target": options.target,
    }  # fmt: skip
    begun = time.monotonic()
    started = f"{datetime.now(UTC):%Y-%m-%d}"

    def took() -> str:
        # Of a run that goes on, the earlier part's time is not known.
        return f"{started}, resumed" if options.resume else f"{started}, {(time.monotonic() - begun) / 60:.0f} minutes"

    kind = "-quick" if options.quick else f"-{options.target.replace(':', '-')}" if options.target else ""
    file = SampleFile(work / f"samples{kind}.jsonl", run, resume=options.resume)
    measured = Measured(file)
    rounds = Rounds(measured, work, _SMALLEST)

    def report() -> None:
        found = _described(run, took(), measured)
        write_report(options.output, found, rows(file.samples), measured.missing)

    try:
        rounds.prepare_reader()
    except EngineError as error:
        print(f"nothing can be measured: the artifact that reads memory: {error}", file=sys.stderr)
        return 1
    ready = rounds.prepare(groups)
    if options.prepare:
        return 0
    for group in ready:
        rounds.measure(group)
        report()
    found = _described(run, took(), measured)
    print("\n".join(markdown(found, rows(file.samples), measured.missing)))
    print(f"written: {', '.join(str(options.output / f'cpu.{s}') for s in ('json', 'md', 'svg'))}", file=sys.stderr)
    return 0 if file.samples else 1


def _described(run: dict[str, object], when: str, measured: Measured) -> dict[str, object]:
    return run | {
        "when": when,
        "versions": {s.engine: s.version for s in measured.file.samples},
        "read_bandwidth": _bandwidth(measured.file.samples),
    }


def _bandwidth(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    found = {}
    for threads in sorted({s.threads for s in samples}):
        reads = [s.bandwidth for s in samples if s.threads == threads]
        found[str(threads)] = {"median": statistics.median(reads), "low": min(reads), "high": max(reads)}
    return found


def _groups(options: argparse.Namespace) -> Iterator[Group]:
    """Wide weights first; one thread at the end."""
    chosen = [v for v in VARIANTS if v.engine in options.engines and (not options.quick or v.bits in _QUICK_BITS)]
    if options.target:
        chosen = [v.compiled_for(options.target) if v.engine == "cosyn" else v for v in chosen]
    for shape in options.shapes:
        for width in map(int, options.widths):
            variants = tuple(v for v in chosen if v.width == width and any(v.measures(shape, t) for t in options.tests))
            if variants:
                yield Group(shape, options.threads, variants, tuple(options.tests), options.rounds)
    if _SINGLE_SHAPE in options.shapes and options.single:
        tests = tuple(t for t in _SINGLE_TESTS if t in options.tests)
        for width in map(int, options.widths):
            variants = tuple(v for v in chosen if v.width == width != 32 and not v.engine.startswith("PyTorch"))
            if variants and tests:
                yield Group(_SINGLE_SHAPE, 1, variants, tests, options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shapes = ",".join(shape_names())
    parser.add_argument("--shapes", type=_listed(shape_names()), default=None, help=f"of {shapes}; all")
    parser.add_argument("--engines", type=_listed(ENGINES), default=None, help=f"of {','.join(ENGINES)}; all")
    parser.add_argument(
        "--widths", type=_listed(_WIDTHS), default=None, help=f"bits per weight: of {','.join(_WIDTHS)}"
    )
    parser.add_argument("--tests", type=_tests, default=None, help=f"such as {','.join(TESTS)}; these")
    parser.add_argument("--rounds", type=int, default=None, help="measurements of each; 3, or 2 with --quick")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))), help="2")
    parser.add_argument("--single", action="store_true", help="the 1.1B on one thread too, as the whole run does")
    parser.add_argument("--quick", action="store_true", help="few formats, pp128 and tg64")
    parser.add_argument("--resume", action="store_true", help="keep what the last run of the same kind measured")
    parser.add_argument("--prepare", action="store_true", help="make the files, and measure nothing")
    parser.add_argument("--target", default="", help="what cosyn compiles for, such as cpu:avx2; else this CPU")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="models, artifacts and logs")
    parser.add_argument("--output", type=Path, default=None, help="folder of the results")
    options = parser.parse_args()
    parts = (options.shapes, options.engines, options.tests, options.widths)
    whole = not options.quick and not options.target and all(p is None for p in parts)
    results = ROOT / "benchmarks" / "results" if whole else options.work / "results"
    options.single |= whole
    options.output = options.output or results
    options.shapes = options.shapes or shape_names()
    options.engines = options.engines or list(ENGINES)
    options.widths = options.widths or list(_WIDTHS)
    options.tests = options.tests or list(_QUICK_TESTS if options.quick else TESTS)
    options.rounds = options.rounds or (2 if options.quick else 3)
    return options


def _listed(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        found = text.split(",")
        unknown = [f for f in found if f not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no such: {', '.join(unknown)}; there are {', '.join(known)}")
        return found

    return parse


def _tests(text: str) -> list[str]:
    try:
        return [t for t in text.split(",") if parse_test(t)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
