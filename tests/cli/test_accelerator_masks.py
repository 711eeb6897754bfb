"""`compile --block-mask` for an accelerator, and what `run`, `inspect` and `verify` make of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosyn.cli import main
from cosyn.engines import load_model
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.runtime.fpga.description import SpanPattern, read_description

HEADS, BLOCK, MAX_SEQ = 8, 18, 64


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, shared_dir: Path) -> Path:
    """stories260K for `tiny`: each head sees its own block, every other one the first, too."""
    folder = tmp_path_factory.mktemp("masked")
    rows = -(-MAX_SEQ // BLOCK)
    i, j, h = np.arange(rows)[:, None], np.arange(rows)[None], np.arange(HEADS)[:, None, None]
    np.savez(folder / "mask.npz", block=BLOCK, mask=(i == j) | ((j == 0) & (h % 2 == 0)))
    arguments = ["compile", str(shared_dir / "models" / "stories260K"), "--target", "fpga:tiny", "--recipe", "w8a8"]
    arguments += ["--block-mask", str(folder / "mask.npz"), "--max-seq", str(MAX_SEQ), "--prefill-chunk", "8"]
    assert main([*arguments, "-o", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def test_a_prompt_is_cut_where_the_mask_changes(artifact: Path) -> None:
    """In pieces of at most 8 tokens. What follows it, over the last span's beginning, is what the reference writes."""
    described = read_description(artifact)
    assert described.geometry.spans == (0, 18, 36, 54)
    (pattern,) = described.geometry.patterns
    assert isinstance(pattern, SpanPattern)
    assert (pattern.kept, pattern.skipped) == ((0, 0, 0, 32), (0, 0, 0, 16))
    prompt = np.random.default_rng(4).integers(0, 500, 37).tolist()
    found = []
    for engine in ("sim", "reference"):
        model = load_model(artifact, engine)
        found.append(model.generate(prompt, max_new_tokens=20, temperature=0.0, ignore_eos=True).token_ids)
        if engine == "sim":
            assert [tokens for tokens, _ in model.executor.cycles] == [8, 8, 2, 4, 2, 8, 4, 1, *[1] * 19]
    assert found[0] == found[1]


def test_each_span_has_its_program(cosyn, artifact: Path) -> None:
    files = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert {f"programs/step_{m}_from_{p}.bin" for m in (1, 2, 4, 8) for p in (0, 18, 36, 54)} <= set(files)
    report = json.loads((artifact / "accelerator.json").read_text(encoding="utf-8"))
    total = sum(sum(p["instructions"]) for p in report["programs"])
    assert report["instructions"]["bytes"] == 64 * total
    listed = [
        cosyn("inspect", artifact, "--program", "--context", context, "--json").object["instructions"]
        for context in (40, 56)
    ]
    kept = [[i for i in program if i["node"] == "attention: keys 0, kept"] for program in listed]
    assert [len(loads) for loads in kept] == [0, 1]


@needs_simulator()
def test_the_rtl_writes_what_the_reference_writes_and_verifies(cosyn, artifact: Path) -> None:
    prompt = ("--prompt-ids", ",".join(str(7 * n % 500) for n in range(53)), "--max-new-tokens", "4")
    greedy = ("--temperature", "0", "--ignore-eos", "--json")
    found = {e: cosyn("run", artifact, "--engine", e, *prompt, *greedy) for e in ("rtl", "reference")}
    assert found["rtl"].code == 0, found["rtl"].err
    assert found["rtl"].object["token_ids"] == found["reference"].object["token_ids"]
    steps = [tokens for tokens, _ in found["rtl"].object["cycles_per_step"]]
    assert steps == [8, 8, 2, 4, 2, 8, 4, 4, 8, 4, 1, *[1] * 3]
    done = cosyn("verify", artifact, "--prompt-tokens", "55", "--decode-tokens", "1", "--quiet")
    assert done.code == 0, done.err
    assert "the logits of" in done.out


def test_a_mask_that_is_too_small_names_what_is_missing(cosyn, tmp_path: Path, shared_dir: Path) -> None:
    np.savez(tmp_path / "mask.npz", block=BLOCK, mask=np.ones((HEADS, 3, 3), bool))
    model = shared_dir / "models" / "stories260K"
    words = ("--target", "fpga:tiny", "--block-mask", tmp_path / "mask.npz", "--max-seq", MAX_SEQ, "--quiet")
    done = cosyn("compile", model, *words, "-o", tmp_path / "out")
    assert done.code == 2
    assert "the block mask covers 3 blocks of 18, 54 in all; expected at least max_seq = 64" in done.err
    assert not (tmp_path / "out").exists()
