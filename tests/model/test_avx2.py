"""A whole model in code for AVX2 writes what this machine's code writes, and Hugging Face's text without rounding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cosyn.runtime
from cosyn.codegen.tvm.cpu_target import host_features
from cosyn.runtime.loader import open_artifact
from tests.model.compiled import compile_folder

SHIPPED = Path(__file__).resolve().parents[2] / "examples/models/pydoc-llama"
NEW_TOKENS = 24
OPTIONS: dict[str, Any] = {"max_seq": 128, "prefill_chunk": 16}


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    if "avx2" not in host_features():
        pytest.skip("this machine has no AVX2")


def tokens(recipe: str, target: str, prompt: list[int], folder: Path) -> list[int]:
    compile_folder(SHIPPED, folder, recipe, target=target, **OPTIONS)
    out = cosyn.runtime.load(folder).generate(prompt, max_new_tokens=NEW_TOKENS, temperature=0, ignore_eos=True)
    return list(out.token_ids)


@pytest.mark.parametrize("recipe", ["bf16", "w8a8", "w4a8_g32", "w4a16_g32", "w4a8_g32_kv8"])
def test_the_shipped_model_writes_the_same_tokens(recipe: str, tmp_path: Path) -> None:
    case = json.loads((SHIPPED / "reference.json").read_text())["cases"][0]
    prompt: list[int] = case["prompt_ids"]
    expected = (
        case["output_ids"][len(prompt) : len(prompt) + NEW_TOKENS]
        if recipe == "bf16"
        else tokens(recipe, "cpu", prompt, tmp_path / "here")
    )
    assert tokens(recipe, "cpu:avx2", prompt, tmp_path / "avx2") == expected
    assert not [f for f in open_artifact(tmp_path / "avx2").manifest.target.features if "512" in f or "vnni" in f]
