"""Whole models for aarch64, cross-compiled and run under qemu: the tokens that this machine writes."""

from __future__ import annotations

import json
import platform
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import cosyn.runtime
from cosyn.ir.frontend import import_model
from cosyn.runtime.errors import HostError
from cosyn.runtime.loader import open_artifact
from tests.aarch64 import missing, run_python
from tests.model.compiled import compile_folder

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "aarch64 code runs here")

SHIPPED = Path(__file__).resolve().parents[2] / "examples/models/pydoc-llama"
NEW_TOKENS = 8
LIKE_HUGGING_FACE = "bf16"
"""The recipe in which Hugging Face's tokens are the right ones; in others those of this machine's artifacts are."""


@pytest.fixture(autouse=True)
def one_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is traced once, not once per recipe and target: that is half the time of a compilation."""
    monkeypatch.setattr("cosyn.codegen.compiler.import_model", cache(import_model))


def check(model: Path, recipes: tuple[str, ...], target: str, scratch: Path) -> list[str]:
    """Continue the model's first reference prompt in every recipe; returns the features of the CPU that did."""
    case = json.loads((model / "reference.json").read_text())["cases"][0]
    prompt: list[int] = case["prompt_ids"]
    expected = {}
    options: dict[str, Any] = {"max_seq": 64, "prefill_chunk": 16}
    for recipe in recipes:
        compile_folder(model, scratch / recipe, recipe, target=target, **options)
        if recipe == LIKE_HUGGING_FACE:
            expected[recipe] = case["output_ids"][len(prompt) : len(prompt) + NEW_TOKENS]
            continue
        compile_folder(model, scratch / "here" / recipe, recipe, **options)
        loaded = cosyn.runtime.load(scratch / "here" / recipe)
        out = loaded.generate(prompt, max_new_tokens=NEW_TOKENS, temperature=0, ignore_eos=True)
        expected[recipe] = list(out.token_ids)
    script, folders = Path(__file__).with_name("aarch64_greedy.py"), [scratch / recipe for recipe in recipes]
    printed = run_python(script, str(NEW_TOKENS), ",".join(map(str, prompt)), *folders, scratch=scratch)
    answer = json.loads(printed)
    assert answer["tokens"] == expected
    if platform.machine() != "aarch64":
        with pytest.raises(HostError, match="is code for aarch64"):
            open_artifact(folders[0])
    features: list[str] = answer["features"]
    return features


def test_the_shipped_model_writes_the_same_tokens(tmp_path: Path) -> None:
    check(SHIPPED, ("w4a8_g32",), "cpu:aarch64_i8mm", tmp_path)


def test_stories_writes_the_same_tokens(shared_dir: Path, tmp_path: Path) -> None:
    model = shared_dir / "models/stories260K"
    features = check(model, ("bf16", "w8a8", "w4a16_g32", "w4a8_g32_kv8"), "cpu:aarch64", tmp_path)
    # The emulated processor has them; /proc/cpuinfo tells of this machine.
    assert {"asimd", "asimddp", "i8mm"} <= set(features)
