"""`cosyn bench --profile`: every launch is there, and its bytes are those of its arguments."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cosyn

CONTEXT, PROMPT = 20, 24


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cosyn.cli import main
    from tests.architectures import save_folder

    folder = tmp_path_factory.mktemp("profiled")
    save_folder("llama", folder / "model")
    words = ["compile", folder / "model", "--recipe", "w8a8", "--max-seq", 64, "-o", folder / "out", "--quiet"]
    assert main([str(w) for w in words]) == 0
    return folder / "out"


def profiles(cosyn: Cosyn, folder: Path, *words: object) -> dict[str, Any]:
    sizes = ("--context", CONTEXT, "--prompt-tokens", PROMPT, "--repeats", 1, "--threads", 1)
    outcome = cosyn("bench", folder, "--profile", *sizes, *words, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.object


def test_every_launch_appears_in_order(cosyn: Cosyn, compiled: Path) -> None:
    found = profiles(cosyn, compiled)
    program = json.loads((compiled / "program.json").read_text(encoding="utf-8"))["entry_points"]
    decode, prefill = found["profiles"]
    assert (decode["entry"], decode["tokens"], decode["context"]) == ("decode", 1, CONTEXT)
    assert (prefill["entry"], prefill["tokens"], prefill["context"]) == ("prefill", PROMPT, 0)
    for profile in (decode, prefill):
        launches = profile["launches"]
        assert [p["kernel"] for p in launches] == [c["kernel"] for c in program[profile["entry"]]]
        assert all(p["seconds"] > 0 and p["roofline_seconds"] > 0 for p in launches)
        assert sum(k["launches"] for k in profile["kernels"]) == len(launches)
        assert sum(k["bytes"] for k in profile["kernels"]) == sum(
            p["weight_bytes"] + p["state_bytes"] + p["value_bytes"] for p in launches
        )
        lost = [k["lost_seconds"] for k in profile["kernels"]]
        assert lost == sorted(lost, reverse=True)
        assert profile["kernel_seconds"] == pytest.approx(sum(p["seconds"] for p in launches))


def test_bytes_are_those_of_the_arguments(cosyn: Cosyn, compiled: Path) -> None:
    decode = profiles(cosyn, compiled)["profiles"][0]
    manifest = json.loads((compiled / "manifest.json").read_text(encoding="utf-8"))
    program = json.loads((compiled / "program.json").read_text(encoding="utf-8"))["entry_points"]["decode"]
    sizes = {"i8": 1, "i32": 4, "f32": 4, "f16": 2, "bf16": 2, "u8": 1, "u16": 2}
    stored: dict[str, int] = defaultdict(int)
    for weight in manifest["weights"]:
        count = 1
        for size in weight["shape"]:
            count *= size
        stored[weight["name"]] = count * sizes[weight["dtype"]]
    linears = 0
    for launch, call in zip(decode["launches"], program, strict=True):
        if "linear" in launch["kernel"]:
            linears += 1
            assert launch["weight_bytes"] == sum(stored[a] for a in call["arguments"] if a.startswith("@"))
            assert launch["precision"] == "i8"
    assert linears
    assert sum(p["weight_bytes"] for p in decode["launches"]) == manifest["bytes_per_token"]["weights"]
    cached = manifest["bytes_per_token"]["kv_per_position"]
    reads = sum(p["state_bytes"] for p in decode["launches"])
    # Attention reads the context and the token's own position, which was appended before.
    assert reads == cached * (CONTEXT + 1) + cached


def test_the_table_names_the_worst_kernel_first(cosyn: Cosyn, compiled: Path) -> None:
    outcome = cosyn("bench", compiled, "--profile", "--repeats", 1, "--threads", 1)
    assert outcome.code == 0, outcome.err
    header = outcome.out.splitlines()[1]
    assert header.split() == "KERNEL LAUNCHES MS OF STEP US EACH MB RATE BOUND OF ROOFLINE LOST MS".split()
    assert "the step at once" in outcome.out
    assert "measured now" in outcome.out


def test_pictures(cosyn: Cosyn, compiled: Path, tmp_path: Path) -> None:
    timeline, trace = tmp_path / "step.svg", tmp_path / "step.json"
    found = profiles(cosyn, compiled, "--timeline", timeline, "--trace", trace)
    text = timeline.read_text(encoding="utf-8")
    assert "layer 1" in text
    assert "head" in text
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    assert len(spans) == sum(len(p["launches"]) for p in found["profiles"])
    for before, after in pairwise(spans):
        if before["pid"] == after["pid"]:
            assert after["ts"] == pytest.approx(before["ts"] + before["dur"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timeline", "step.svg"], "show a profile"),
        (["--profile", "--timeline", "step.txt"], "--timeline draws .svg or .png, found step.txt"),
        (["--profile", "--context", "64"], "a step over 65 tokens exceeds the context of 64"),
    ],
)
def test_refusals(cosyn: Cosyn, compiled: Path, words: list[str], message: str) -> None:
    outcome = cosyn("bench", compiled, *words, "--json")
    assert outcome.code == 2
    assert message in outcome.object["error"]
