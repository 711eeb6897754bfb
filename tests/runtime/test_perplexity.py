"""Perplexity: windows as stated, sums in float64."""

from __future__ import annotations

from pathlib import Path

import handmade
import numpy as np
import pytest

from cosyn.runtime import LanguageModel, load
from cosyn.runtime.errors import RequestError
from cosyn.runtime.perplexity import Perplexity, documents, evaluate_tokens

IDS = [int(t) for t in np.random.default_rng(8).integers(2, handmade.VOCAB, 200)]


@pytest.fixture(scope="module")
def model(handmade_artifact: Path) -> LanguageModel:
    return load(handmade_artifact)


def nats(ids: list[int]) -> float:
    """Sum over all but the first token, from logits computed in numpy."""
    x = handmade.reference_logits(ids)[:-1].astype(np.float64)
    x -= x.max(1, keepdims=True)
    return float((np.log(np.exp(x).sum(1)) - x[np.arange(len(x)), ids[1:]]).sum())


def test_windows_open_with_bos_and_do_not_overlap(model: LanguageModel) -> None:
    score = evaluate_tokens(model, [IDS], window=50)
    expected = sum(nats([1, *IDS[i : i + 49]]) for i in range(0, 200, 49))
    assert score.tokens == 200
    assert score.nats == pytest.approx(expected, rel=1e-9)
    assert score.nll_per_token == score.nats / 200


def test_perplexity_is_the_exponential_of_the_mean() -> None:
    assert Perplexity(nats=2 * np.log(7), tokens=2).perplexity == pytest.approx(7)
    assert Perplexity(nats=1e6, tokens=2).perplexity == np.inf


def test_a_window_is_the_context_unless_told(model: LanguageModel) -> None:
    score = evaluate_tokens(model, [IDS])
    assert score.nats == pytest.approx(nats([1, *IDS[:95]]) + nats([1, *IDS[95:190]]) + nats([1, *IDS[190:]]))


def test_documents_are_scored_alone_and_may_be_cut(model: LanguageModel) -> None:
    seen: list[int] = []
    score = evaluate_tokens(model, [IDS[:30], IDS[30:33]], window=11, first_window_only=True, progress=seen.append)
    assert score.nats == pytest.approx(nats([1, *IDS[:10]]) + nats([1, *IDS[30:33]]))
    assert seen == [10, 13]


def test_a_window_that_cannot_be_is_refused(model: LanguageModel) -> None:
    for window in (1, 97):
        with pytest.raises(RequestError, match=f"a window has 2 to 96 tokens for this model, found {window}"):
            evaluate_tokens(model, [IDS], window=window)
    with pytest.raises(RequestError, match="no tokens to score"):
        evaluate_tokens(model, [])


def test_documents_of_a_text() -> None:
    assert documents("cut off<|endoftext|> one \n<|endoftext|>\n<|endoftext|>two") == [
        "cut off",
        "one",
        "two",
    ]
    assert documents("a\n--\nb", "--") == ["a", "b"]
