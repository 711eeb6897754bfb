"""Runs the block benches with many random seeds and lists what fails: python -m cosyn.rtl_testbench.soak [BLOCK ...].

Each test of <block>/test_<block>.py, so each configuration and simulator that `make test` runs, is run once per seed:
a pytest plugin adds the seed to the parameters of every test.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cosyn.rtl_testbench.runner import DEFAULT_SEED, SEED_VARIABLE
from cosyn.rtl_testbench.toolchain import missing

ROOM = Path(__file__).parent
_FIXTURE = "bench_seed"
_SEED = "seed="


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed run."""

    test: str
    """pytest's name of it, without the seed."""
    seed: int
    reason: str
    """Block, configuration, simulator, cocotb test and what it found."""

    def __str__(self) -> str:
        return f"{SEED_VARIABLE}={self.seed} python -m pytest '{self.test}'\n    {self.reason}"


@dataclass
class SeedPlugin:
    """Adds `seeds` to every test and collects failures."""

    seeds: Sequence[int]
    failures: list[Failure] = field(default_factory=list)
    runs: int = 0

    @pytest.fixture(autouse=True, name=_FIXTURE)
    def _bench_seed(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """The seed of this run, in the environment that the bench gets."""
        monkeypatch.setenv(SEED_VARIABLE, str(request.param))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every test once per seed."""
        metafunc.parametrize(_FIXTURE, self.seeds, indirect=True, ids=[f"{_SEED}{seed}" for seed in self.seeds])

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Seed by seed, so that a soak that is stopped has tried all blocks with the first ones."""
        items.sort(key=lambda item: self.seeds.index(_seed_of(item.nodeid)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure, and say so at once."""
        self.runs += report.when == "call"
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            lines = (crash.message if crash else str(report.longrepr)).splitlines()
            reason = " ".join(line.strip() for line in lines[:3])
            self.failures.append(Failure(_without_seed(report.nodeid), _seed_of(report.nodeid), reason))
            print(f"\n{self.failures[-1]}", flush=True)


def _parameters(test: str) -> tuple[str, list[str]]:
    """test_x[tiny-seed3] is test_x and (tiny, seed3)."""
    name, _, rest = test.partition("[")
    return name, rest.removesuffix("]").split("-")


def _seed_of(test: str) -> int:
    (seed,) = [int(word.removeprefix(_SEED)) for word in _parameters(test)[1] if word.startswith(_SEED)]
    return seed


def _without_seed(test: str) -> str:
    name, parameters = _parameters(test)
    others = "-".join(word for word in parameters if not word.startswith(_SEED))
    return f"{name}[{others}]" if others else name


def blocks() -> list[str]:
    """Folders with a bench that draws random values."""
    benches = sorted(ROOM.glob("*/bench.py"))
    return [path.parent.name for path in benches if path.parent.name != "smoke"]


def soak(files: Iterable[Path], seeds: Sequence[int]) -> SeedPlugin:
    """Run the tests in `files` once with each of `seeds`. RuntimeError when pytest could not run them."""
    plugin = SeedPlugin(seeds)
    options = ["-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider", "-o", "addopts="]
    status = pytest.main([*options, *map(str, files)], plugins=[plugin])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {status!r}")
    return plugin


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m cosyn.rtl_testbench.soak",
        description="Run block benches with consecutive random seeds and list what fails.",
    )
    parser.add_argument("blocks", nargs="*", metavar="BLOCK", help=f"all by default: {', '.join(blocks())}")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many (default 10)")
    parser.add_argument("--first", type=int, default=DEFAULT_SEED + 1, metavar="SEED", help="default %(default)s")
    options = parser.parse_args(arguments)
    names = options.blocks or blocks()
    if unknown := [name for name in names if name not in blocks()]:
        parser.error(f"no block {', '.join(unknown)}; there are {', '.join(blocks())}")
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: at least 1")
    files = [ROOM / name / f"test_{name}.py" for name in names]
    done = soak(files, range(options.first, options.first + options.seeds))
    if not done.runs:
        print(f"nothing ran: {missing('verilator') or missing('icarus') or 'pytest skipped every test'}")
        return 1
    print(f"{done.runs} runs, {len(done.failures)} failed")
    for failure in done.failures:
        print(failure)
    return int(bool(done.failures))


if __name__ == "__main__":
    sys.exit(main())
