"""A real model through compiler and runtime: the tokens, logits and perplexity that Hugging Face computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosyn
from cosyn.runtime import LanguageModel, load
from cosyn.runtime.perplexity import documents, evaluate

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((shared_dir / "models/stories260K/reference.json").read_text())
    return value


@pytest.fixture(scope="module")
def folder(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    output = tmp_path_factory.mktemp("stories") / "artifact"
    return cosyn.compile(shared_dir / "models/stories260K", output, recipe="fp32")


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load(folder)


def test_greedy_text(model: LanguageModel, reference: dict[str, Any]) -> None:
    for case in reference["cases"]:
        out = model.generate(case["prompt"], max_new_tokens=64, temperature=0)
        assert [*out.prompt_ids, *out.token_ids] == case["output_ids"]
        assert case["prompt"] + out.text == case["text"]


def test_a_batch_writes_the_same(model: LanguageModel, reference: dict[str, Any]) -> None:
    cases = reference["cases"]
    prompts = [case["output_ids"][: 5 + 20 * i] for i, case in enumerate(cases)]
    for case, out in zip(cases, model.generate_batch(prompts, max_new_tokens=5), strict=True):
        whole = case["output_ids"]
        assert list(out.token_ids) == whole[out.prompt_tokens : out.prompt_tokens + 5]


def test_a_reloaded_conversation_writes_the_same(
    model: LanguageModel, folder: Path, reference: dict[str, Any], tmp_path: Path
) -> None:
    whole = reference["cases"][0]["output_ids"]
    model.generate(whole[:30], max_new_tokens=1)
    model.save_state(tmp_path / "state")
    other = load(folder)
    other.load_state(tmp_path / "state")
    out = other.generate(whole[:31], max_new_tokens=len(whole) - 31)
    assert (list(out.token_ids), out.reused_tokens) == (whole[31:], 30)


def test_last_logits(model: LanguageModel, reference: dict[str, Any]) -> None:
    for case in reference["cases"]:
        logits = model.logits(case["prompt_ids"])[-1]
        for token, value in case["last_logits_top5"]:
            assert logits[token] == pytest.approx(value, abs=2e-5 * float(np.abs(logits).max()))


def test_perplexity_of_a_few_stories(model: LanguageModel, shared_dir: Path) -> None:
    """The first 20 of the reference's 1000 stories, scored as it scores them, against torch."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    hugging_face = transformers.AutoModelForCausalLM.from_pretrained(
        shared_dir / "models/stories260K", dtype=torch.float32
    ).eval()
    text = (shared_dir / "data/tinystories/tinystories_sample_2MiB.txt").read_text()
    stories = documents(text)[1:21]
    nats, tokens = 0.0, 0
    for story in stories:
        ids = torch.tensor([[1, *model.encode_text(story)][:512]])
        with torch.no_grad():
            logits = hugging_face(ids).logits[0, :-1].double()
        nats += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        tokens += ids.shape[1] - 1
    score = evaluate(model, stories, first_window_only=True)
    assert score.tokens == tokens
    assert score.nats == pytest.approx(nats, rel=1e-5)


@pytest.mark.slow
def test_perplexity_of_the_whole_reference(model: LanguageModel, shared_dir: Path, reference: dict[str, Any]) -> None:
    text = (shared_dir / "data/tinystories/tinystories_sample_2MiB.txt").read_text()
    score = evaluate(model, documents(text)[1:1001], first_window_only=True)
    assert score.tokens == reference["ppl"]["tokens"]
    assert score.perplexity == pytest.approx(reference["ppl"]["ppl"], rel=1e-4)
