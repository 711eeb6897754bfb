"""The results of the CPU benchmark, from measurements that nobody made."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from benchmarks.cpu.bars import bars, ratio
from benchmarks.cpu.plot import draw
from benchmarks.cpu.report import write_report
from benchmarks.cpu.rounds import Missing
from benchmarks.cpu.samples import Sample, rows
from tests.benchmarks.rows import samples

RUN = {
    "machine": "a machine", "rounds": 3, "when": "2026-11-21, 3 minutes", "versions": {"llama.cpp": "1"},
    "read_bandwidth": {"2": {"median": 40e9, "low": 35e9, "high": 60e9}},
}  # fmt: skip


def test_rows_are_medians_over_rounds() -> None:
    found = {(r.engine, r.bits, r.shape, r.threads, r.test): r for r in rows(samples())}
    row = found["llama.cpp", "Q4_0", "1.1B", 2, "tg64"]
    assert (row.low, row.tokens_per_second, row.high) == (40, 41, 42)
    assert row.roofline_fraction == pytest.approx(41 / 40)
    assert row.samples == (40, 41, 42)
    assert found["llama.cpp", "Q4_0", "1.1B", 2, "pp512"].bytes_per_token is None


def test_bars_compare_with_the_better_of_two_formats() -> None:
    found = {b.what: b for b in bars(rows(samples()))}
    bar = found["decode in 4 bits: w4a16_g32 over llama.cpp Q4_K_M, 1.1B tg64"]
    assert (bar.wanted, bar.found, bar.met) == (1.3, 61 / 51, False)
    assert found["prefill in 4 bits: w4a16_g32 over llama.cpp Q4_0, 1.1B pp128"].met
    assert found["share of the read bandwidth, bf16, tg64"].found == pytest.approx(21 / 40)
    assert found["two threads over one: w8a8, tg64 (reading: 1.00)"].found == pytest.approx(21 / 11)
    assert "two threads over one: w8a8, pp128" in found
    assert found["overheads: w8a8 over llama.cpp Q8_0, 15M tg64"].met
    assert not bars(rows(s for s in samples() if s.engine != "cosyn"))


def test_ratios_are_those_at_one_speed_of_memory() -> None:
    found = [
        Sample("1.1B", engine, "w8a8", 2, "tg64", turn, speed, bandwidth, 1e9)
        for engine, measured in (("a", [(10, 30e9), (20, 60e9)]), ("b", [(8, 62e9), (5, 31e9), (8, 60e9)]))
        for turn, (speed, bandwidth) in enumerate(measured)
    ]
    own, peer = rows(found)
    assert ratio(own, peer) == statistics.median([10 / 5, 20 / 8, 20 / 8])
    (slow,) = rows(found[:1])
    (fast,) = rows(found[2:3])
    assert ratio(slow, fast) == 10 / 8


def test_the_files(tmp_path: Path) -> None:
    missing = [Missing("OpenVINO", "int4", "1.1B", True, "not installed: there is no a|b")]
    write_report(tmp_path, RUN, rows(samples()), missing)
    data = json.loads((tmp_path / "cpu.json").read_text(encoding="utf-8"))
    wanted = {"engine", "shape", "bits", "threads", "test", "tokens_per_second", "low", "high", "bytes_per_token",
              "roofline_fraction"}  # fmt: skip
    assert all(wanted <= set(row) for row in data["rows"])
    assert data["machine"] == "a machine"
    assert data["not_measured"][0]["absent"] is True
    page = (tmp_path / "cpu.md").read_text(encoding="utf-8")
    assert "| llama.cpp | Q4_0 | 41.0 (40.0..42.0) |" in page
    assert "| w4a16_g32 over llama.cpp Q4_0 | 1.49 |" in page
    assert "| OpenVINO | int4 | 1.1B | absent: not installed: there is no a\\|b |" in page
    assert "40.0 GB/s (35.0 to 60.0) with 2 threads" in page
    assert "**missed**" in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert tables
    for line, after in zip(page.splitlines(), page.splitlines()[1:], strict=False):
        if line.startswith("|") and after.startswith("|"):
            assert line.replace("\\|", "").count("|") == after.replace("\\|", "").count("|"), line


def test_a_run_for_another_target_says_so(tmp_path: Path) -> None:
    write_report(tmp_path, RUN | {"target": "cpu:avx2"}, rows(samples()), [])
    assert "- cosyn compiled for cpu:avx2, and run here" in (tmp_path / "cpu.md").read_text(encoding="utf-8")


def test_the_picture_is_reproducible(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw(rows(samples()), tmp_path / name)
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert b"llama.cpp Q4_K_M" in first


def test_a_run_without_rows_is_reported_too(tmp_path: Path) -> None:
    write_report(tmp_path, RUN | {"read_bandwidth": {}, "versions": {}}, [], [])
    assert "not measured" in (tmp_path / "cpu.md").read_text(encoding="utf-8")
