"""Writes a run's results: JSON for programs, Markdown tables and a picture for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cpu.bars import bars, ratio
from benchmarks.cpu.measurement import TESTS
from benchmarks.cpu.plot import draw
from benchmarks.cpu.rounds import Missing
from benchmarks.cpu.samples import Row
from benchmarks.cpu.variants import VARIANTS

_WIDTHS = {(v.engine, v.bits): v.width for v in VARIANTS}


def write_report(folder: Path, run: dict[str, Any], rows: Sequence[Row], missing: Sequence[Missing]) -> None:
    """`cpu.json`, `cpu.md` and `cpu.svg` in `folder`; `run` says what was measured, on what, and when."""
    folder.mkdir(parents=True, exist_ok=True)
    data = run | {"rows": [asdict(r) for r in rows], "not_measured": [asdict(m) for m in missing],
                  "bars": [asdict(b) | {"met": b.met} for b in bars(rows)]}  # fmt: skip
    (folder / "cpu.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "cpu.md").write_text("\n".join(markdown(run, rows, missing)) + "\n", encoding="utf-8")
    if rows:
        draw(rows, folder / "cpu.svg")


def markdown(run: dict[str, Any], rows: Sequence[Row], missing: Sequence[Missing]) -> Iterator[str]:
    """The page."""
    reads = ", ".join(
        f"{b['median'] / 1e9:.1f} GB/s ({b['low'] / 1e9:.1f} to {b['high'] / 1e9:.1f}) with {t} threads"
        for t, b in run["read_bandwidth"].items()
    )
    versions = ", ".join(f"{engine} {version}" for engine, version in run["versions"].items())
    yield from (
        "# cosyn beside its peers on a CPU", "",
        f"Written by `make bench` ({run['when']}, {run['rounds']} rounds);",
        "how to read it: docs/cpu.md.", "",
        f"- machine: {run['machine']}",
        f"- read bandwidth, measured between all measurements: {reads or 'not measured'}",
        f"- versions: {versions}",
        *([f"- cosyn compiled for {run['target']}, and run here"] if run.get("target") else []),
        "- tokens per second, batch 1: the median of the rounds, and from the lowest to the highest; beside a decode",
        "  test the share of the read bandwidth of the same moment that weights and cache make up at that speed", "",
    )  # fmt: skip
    for shape, threads in dict.fromkeys((r.shape, r.threads) for r in rows):
        here = [r for r in rows if (r.shape, r.threads) == (shape, threads)]
        yield from (f"## {shape}, {threads} thread{'s' * (threads > 1)}", "")
        yield from _table(here)
        yield ""
        yield from _ratios(here)
    yield from _bars(rows)
    yield from _missing(missing)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    tests = [t for t in _tests(rows) if any(r.test == t for r in rows)]
    yield "| engine | weights | " + " | ".join(tests) + " |"
    yield "|---|---|" + "---|" * len(tests)
    for engine, bits in dict.fromkeys((r.engine, r.bits) for r in rows):
        found = {r.test: r for r in rows if (r.engine, r.bits) == (engine, bits)}
        name = f"**{engine}**" if engine == "cosyn" else engine
        yield f"| {name} | {bits} | " + " | ".join(_cell(found.get(t)) for t in tests) + " |"


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    share = "" if row.roofline_fraction is None else f", {row.roofline_fraction:.0%}"
    return f"{speed(row.tokens_per_second)} ({speed(row.low)}..{speed(row.high)}){share}"


def _ratios(rows: Sequence[Row]) -> Iterator[str]:
    """How many times as fast as each peer of the same width cosyn is."""
    tests = _tests(rows)
    lines = []
    for own in dict.fromkeys(r.bits for r in rows if r.engine == "cosyn"):
        width = _WIDTHS.get(("cosyn", own))
        peers = dict.fromkeys((r.engine, r.bits) for r in rows if r.engine != "cosyn")
        for peer in (p for p in peers if _WIDTHS.get(p) == width):
            cells = [_ratio(rows, own, peer, t) for t in tests]
            lines.append(f"| {own} over {peer[0]} {peer[1]} | " + " | ".join(cells) + " |")
    if lines:
        yield "| cosyn | " + " | ".join(tests) + " |"
        yield "|---|" + "---|" * len(tests)
        yield from (*lines, "")


def _ratio(rows: Sequence[Row], bits: str, peer: tuple[str, str], test: str) -> str:
    own = next((r for r in rows if (r.engine, r.bits, r.test) == ("cosyn", bits, test)), None)
    other = next((r for r in rows if (r.engine, r.bits, r.test) == (*peer, test)), None)
    return "–" if own is None or other is None else f"{ratio(own, other):.2f}"


def _bars(rows: Sequence[Row]) -> Iterator[str]:
    found = bars(rows)
    if found:
        met = sum(b.met for b in found)
        yield from (f"## Bars: {met} of {len(found)} met", "", "| bar | wanted | found | |", "|---|---|---|---|")
        for bar in found:
            yield f"| {bar.what} | {bar.wanted:.2f} | {bar.found:.2f} | {'met' if bar.met else '**missed**'} |"
        yield ""


def _missing(missing: Sequence[Missing]) -> Iterator[str]:
    if missing:
        yield from ("## Not measured", "", "| engine | weights | shape | why |", "|---|---|---|---|")
        for m in missing:
            reason = m.reason.replace("|", "\\|")
            yield f"| {m.engine} | {m.bits} | {m.shape} | {'absent' if m.absent else 'failed'}: {reason} |"
        yield ""


def _tests(rows: Sequence[Row]) -> list[str]:
    there = {r.test for r in rows}
    return [t for t in TESTS if t in there] + sorted(there - set(TESTS))


def speed(value: float) -> str:
    """Tokens per second with as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
