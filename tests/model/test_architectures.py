"""Every architecture, compiled for the CPU, against Hugging Face in float32: logits, greedy text, and state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cosyn.runtime
from cosyn.runtime import LanguageModel
from tests.architectures import CONFIGS, MAX_SEQ, VOCABULARY, hf_logits, save_folder
from tests.model.compiled import compile_folder, relative_error

LOGIT_BOUND = 1e-4
NEW_TOKENS = 64


def prompt(length: int) -> list[int]:
    """Token ids without the special ones."""
    return [int(t) for t in np.random.default_rng(length).integers(3, VOCABULARY, length)]


def hf_greedy(model: Any, token_ids: list[int], count: int) -> list[int]:
    """Greedy continuation by Hugging Face, with its cache."""
    ids, cache, out = torch.tensor([token_ids]), None, []
    with torch.no_grad():
        for _ in range(count):
            result = model(ids, past_key_values=cache, use_cache=True)
            cache = result.past_key_values
            out.append(int(result.logits[0, -1].argmax()))
            ids = torch.tensor([[out[-1]]])
    return out


def greedy(model: LanguageModel, token_ids: list[int], count: int) -> list[int]:
    return list(model.generate(token_ids, max_new_tokens=count, temperature=0, ignore_eos=True).token_ids)


@dataclass(frozen=True)
class Pair:
    """Our compiled model, Hugging Face's, and the artifact's manifest."""

    ours: LanguageModel
    reference: Any
    manifest: dict[str, Any]


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """One architecture; prompts of 200 tokens take five chunks."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    reference = save_folder(request.param, folder / "hf")
    result = compile_folder(folder / "hf", folder / "artifact", max_seq=MAX_SEQ, prefill_chunk=48, verify=True)
    return Pair(cosyn.runtime.load(folder / "artifact"), reference, result.manifest)


@pytest.mark.parametrize("length", [1, 7, 200])
def test_logits_equal_hugging_face(pair: Pair, length: int) -> None:
    ours, reference = pair.ours, pair.reference
    expected = hf_logits(reference, prompt(length))
    assert relative_error(ours.logits(prompt(length)), expected) < LOGIT_BOUND


def test_greedy_tokens_equal_hugging_face(pair: Pair) -> None:
    ours, reference = pair.ours, pair.reference
    assert greedy(ours, prompt(7), NEW_TOKENS) == hf_greedy(reference, prompt(7), NEW_TOKENS)


def test_batch_of_three_lengths_writes_what_each_writes_alone(pair: Pair) -> None:
    ours = pair.ours
    prompts = [prompt(1), prompt(19), prompt(90)]
    batch = ours.generate_batch(prompts, max_new_tokens=12, temperature=0, ignore_eos=True)
    for alone, together in zip(prompts, batch, strict=True):
        assert greedy(ours, alone, 12) == list(together.token_ids)


def test_reloaded_state_goes_on_with_the_same_tokens(pair: Pair, tmp_path: Path) -> None:
    ours = pair.ours
    whole = greedy(ours, prompt(30), 24)
    first = greedy(ours, prompt(30), 8)
    ours.save_state(tmp_path / "state")
    greedy(ours, prompt(5), 8)
    ours.load_state(tmp_path / "state")
    assert first + greedy(ours, prompt(30) + first, 16) == whole


def test_arena_is_within_a_twentieth_of_the_lower_bound(pair: Pair) -> None:
    arena = pair.manifest["arena"]
    assert arena["bytes"] <= 1.05 * arena["lower_bound_bytes"]
