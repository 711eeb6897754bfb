"""Engines are asked in turns, and one that fails does not stop the others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.cpu import rounds
from benchmarks.cpu.measurement import Test, parse_test
from benchmarks.cpu.process import EngineError, EngineProcess
from benchmarks.cpu.rounds import Group, Measured, Rounds
from benchmarks.cpu.samples import SampleFile, rows
from benchmarks.cpu.variants import VARIANTS, Variant
from tests.benchmarks.fake_engine import SECONDS

RUN: dict[str, object] = {"compiler": "abc"}


def fake(bits: str, **changes: object) -> Variant:
    variant = Variant("fake", bits, 8, "tests.benchmarks.fake_engine", "cosyn")
    return dataclasses.replace(variant, **changes)  # type: ignore[arg-type]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "READER", fake("reader"))


def measure(folder: Path, *variants: Variant, resume: bool = False) -> Measured:
    measured = Measured(SampleFile(folder / "samples.jsonl", RUN, resume=resume))
    runner = Rounds(measured, folder, "15M")
    runner.prepare_reader()
    for group in runner.prepare([Group("15M", 1, variants, ("pp128", "tg64@512"), 2)]):
        runner.measure(group)
    return measured


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("pp128", Test("prefill", 128)),
        ("tg64", Test("decode", 64)),
        ("tg64@1900", Test("decode", 64, 1900)),
    ],
)
def test_names_of_tests(name: str, test: Test) -> None:
    assert parse_test(name) == test


@pytest.mark.parametrize("name", ["", "pp", "tg0", "pp128@512", "xx12", "tg64@"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such test"):
        parse_test(name)


@pytest.mark.usefixtures("reader")
def test_engines_take_turns(tmp_path: Path) -> None:
    measured = measure(tmp_path, fake("a"), fake("b"))
    assert [(s.test, s.round, s.bits) for s in measured.file.samples] == [
        ("pp128", 0, "a"), ("pp128", 0, "b"), ("tg64@512", 0, "a"), ("tg64@512", 0, "b"),
        ("pp128", 1, "b"), ("pp128", 1, "a"), ("tg64@512", 1, "b"), ("tg64@512", 1, "a"),
    ]  # fmt: skip
    assert not measured.missing
    assert {s.version for s in measured.file.samples} == {"1.2"}
    prompt, _, decode, *_ = rows(measured.file.samples)
    assert (prompt.tokens_per_second, prompt.bytes_per_token, prompt.roofline_fraction) == (128 / SECONDS, None, None)
    assert (decode.tokens_per_second, decode.bytes_per_token) == (64 / SECONDS, 1000 + 10 * (512 + 32))
    # The fake reader reads its 1000 bytes in as many seconds as anything takes.
    assert decode.roofline_fraction == pytest.approx(decode.bytes_per_token * 64 / SECONDS / (1000 / SECONDS))


@pytest.mark.usefixtures("reader")
def test_what_fails_is_named_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERS", str(tmp_path / "nowhere"))
    monkeypatch.setattr(rounds, "_MEASURE", 2.0)
    absent = fake("absent", environment="peers", module="tests.benchmarks.no_such_peer")
    unknown = fake("unknown", module="tests.benchmarks.no_such_module")
    measured = measure(tmp_path, absent, unknown, fake("dies"), fake("hangs"), fake("unmade"), fake("a"))
    assert {s.bits for s in measured.file.samples} == {"a"}
    assert len(measured.file.samples) == 4
    found = {m.bits: (m.absent, m.reason) for m in measured.missing}
    assert found["absent"][0]
    assert "not installed" in found["absent"][1]
    assert found["unknown"][0]
    assert found["dies"] == (False, "pp128: ended: a library talks")
    assert found["hangs"] == (False, "pp128: no answer within 2 s")
    assert found["unmade"] == (False, "RuntimeError: no room for the file")


@pytest.mark.usefixtures("reader")
def test_a_run_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    measure(tmp_path, fake("a"), fake("b"))
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-2]) + "\n", encoding="utf-8")
    for log in ("a.log", "b.log"):
        (tmp_path / "15M" / log).unlink()
    measured = measure(tmp_path, fake("a"), fake("b"), resume=True)
    assert len(measured.file.samples) == 8
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1 + 8
    # Only what was missing ran again.
    assert (tmp_path / "15M" / "a.log").read_text(encoding="utf-8") == "decode 64 512\n"
    other = SampleFile(path, RUN | {"compiler": "other"}, resume=True)
    assert not other.samples, "samples of another compiler were kept"
    assert json.loads(path.read_text(encoding="utf-8")) == {"compiler": "other"}


@pytest.mark.usefixtures("reader")
def test_a_short_test_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_AT_LEAST", 2.2 * SECONDS)
    measured = measure(tmp_path, fake("a"))
    assert len((tmp_path / "15M" / "a.log").read_text(encoding="utf-8").splitlines()) == 3 * 4
    assert all(s.tokens_per_second in (128 / SECONDS, 64 / SECONDS) for s in measured.file.samples)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("reads", "runs", "bandwidth"), [([60, 30, 32], 2, 31), ([60, 30, 60, 30], 3, 45)])
def test_a_measurement_in_which_memory_changed_is_made_again(
    reads: list[float], runs: int, bandwidth: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = iter([*reads, *[reads[-1]] * 99])
    monkeypatch.setattr(rounds, "_bandwidth", lambda *_: next(steady))
    monkeypatch.setattr(rounds, "_AT_LEAST", 0.0)
    measured = measure(tmp_path, fake("a"))
    log = (tmp_path / "15M" / "a.log").read_text(encoding="utf-8").splitlines()
    assert len(log) == 4 + runs - 1
    assert measured.file.samples[0].bandwidth == bandwidth


def test_pytorch_skips_what_takes_too_long() -> None:
    by_name = {v.name: v for v in VARIANTS}
    f32, compiled, own = (by_name[n] for n in ("PyTorch eager f32", "PyTorch compiled bf16", "cosyn bf16"))
    assert [v.measures("1.1B", "tg64") for v in (f32, compiled, own)] == [False, True, True]
    assert [v.measures("1.1B", "tg64@1900") for v in (f32, compiled, own)] == [False, False, True]
    assert [v.measures("15M", "tg64@1900") for v in (f32, compiled, own)] == [True, False, True]
    assert all(v.measures("15M", "tg64") for v in VARIANTS)


def test_an_engine_can_be_asked_again_after_an_error(tmp_path: Path) -> None:
    with EngineProcess(fake("a"), 1, tmp_path) as process:
        with pytest.raises(EngineError, match="no such test: 'x'"):
            process.ask({"do": "measure", "test": "x"}, 20)
        request: dict[str, object] = {"do": "load", "shape": "15M", "bits": "a", "folder": str(tmp_path), "threads": 1}
        assert process.ask(request, 20)["version"] == "1.2"
