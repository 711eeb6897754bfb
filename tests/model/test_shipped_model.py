"""The model that ships with the project, in every recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosyn.runtime
from cosyn.runtime import LanguageModel
from cosyn.runtime.loader import open_artifact
from cosyn.verification import model_weights, random_prompt, verify_artifact
from tests.model.compiled import Silent, compile_folder

MODEL = Path(__file__).resolve().parents[2] / "examples/models/pydoc-llama"
REFERENCE: dict[str, Any] = json.loads((MODEL / "reference.json").read_text())
WINDOW = 511

# Perplexity over that of float32: what rounding to nearest may cost this model.
QUALITY = {
    "bf16": 1.002, "fp16": 1.001, "w8a16_g128": 1.003, "w8a8": 1.01, "w4a16_g32": 1.12, "w4a16_g128_kv8": 1.2,
    "w4a8_g32": 1.03,
}  # fmt: skip


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("shipped") / "fp32"
    compile_folder(MODEL, folder)
    return cosyn.runtime.load(folder)


def perplexity(model: LanguageModel, count: int) -> float:
    """As the reference's `ppl` entry says: windows of 511 tokens, each after <bos>, which is not scored."""
    bos = model.manifest.model.bos_token_id
    ids = model.encode_text((MODEL / "held_out.txt").read_text(encoding="utf-8"))[:count]
    nll = 0.0
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        logits = model.logits([bos, *window[:-1]]).astype(np.float64)
        top = logits.max(-1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
        nll += float((log_sum - logits[np.arange(len(window)), window]).sum())
    return float(np.exp(nll / len(ids)))


def test_greedy_text_is_hugging_face_s(fp32: LanguageModel) -> None:
    for case in REFERENCE["cases"]:
        out = fp32.generate(case["prompt"], max_new_tokens=64, temperature=0)
        assert [*out.prompt_ids, *out.token_ids] == case["output_ids"]


def test_perplexity_is_hugging_face_s(fp32: LanguageModel) -> None:
    expected = REFERENCE["ppl"]
    assert perplexity(fp32, expected["tokens"]) == pytest.approx(expected["ppl"], rel=1e-3)


@pytest.mark.parametrize("recipe", QUALITY)
def test_every_recipe_computes_what_its_codes_mean(recipe: str, fp32: LanguageModel, tmp_path: Path) -> None:
    compile_folder(MODEL, tmp_path / "artifact", recipe)
    artifact = open_artifact(tmp_path / "artifact")
    manifest = json.loads((artifact.folder / "manifest.json").read_text())
    load = model_weights(artifact, manifest, None)
    report = verify_artifact(artifact, load, random_prompt(artifact.manifest.model, 12), Silent())
    assert report.checked > 50
    assert not report.mismatches, report.first_divergence
    ours = perplexity(cosyn.runtime.load(tmp_path / "artifact"), 1024)
    assert ours < QUALITY[recipe] * perplexity(fp32, 1024)
