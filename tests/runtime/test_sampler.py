"""The sampler against Hugging Face's logits processors, and its own promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cosyn.runtime.errors import RequestError, RuntimeFault
from cosyn.runtime.sampler import Sampler, SamplingOptions, penalise_repetition, probabilities

torch = pytest.importorskip("torch")
generation = pytest.importorskip("transformers.generation.logits_process")

SEEN = [3, 17, 17, 40]


def some_logits(seed: int, size: int = 300) -> npt.NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=size) * 4).astype(np.float32)


def hugging_face(logits: npt.NDArray[np.float32], o: SamplingOptions) -> npt.NDArray[np.float64]:
    """The distribution that `generate` draws from, its processors in the order that it applies them."""
    processors = [generation.RepetitionPenaltyLogitsProcessor(o.repetition_penalty)]
    processors.append(generation.TemperatureLogitsWarper(o.temperature))
    if o.top_k:
        processors.append(generation.TopKLogitsWarper(o.top_k))
    if o.top_p < 1:
        processors.append(generation.TopPLogitsWarper(o.top_p))
    if o.min_p:
        processors.append(generation.MinPLogitsWarper(o.min_p))
    scores = torch.tensor(logits.astype(np.float64))[None]
    for processor in processors:
        scores = processor(torch.tensor([SEEN]), scores)
    result: npt.NDArray[np.float64] = scores.softmax(-1)[0].numpy()
    return result


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=1.0),
        SamplingOptions(temperature=0.3),
        SamplingOptions(temperature=0.8, top_k=5),
        SamplingOptions(temperature=1.0, top_k=1),
        SamplingOptions(temperature=1.0, top_k=1000),
        SamplingOptions(temperature=0.8, top_p=0.95),
        SamplingOptions(temperature=2.0, top_p=0.999),
        SamplingOptions(temperature=1.0, top_p=1e-6),
        SamplingOptions(temperature=1.0, min_p=0.05),
        SamplingOptions(temperature=1.5, min_p=1.0),
        SamplingOptions(temperature=1.0, repetition_penalty=1.7),
        SamplingOptions(temperature=0.7, repetition_penalty=0.8),
        SamplingOptions(temperature=0.9, top_k=40, top_p=0.9, min_p=0.02, repetition_penalty=1.1),
    ],
)
def test_distribution_is_that_of_hugging_face(options: SamplingOptions) -> None:
    for seed in range(20):
        logits = some_logits(seed)
        scores = penalise_repetition(logits.astype(np.float64), set(SEEN), options.repetition_penalty)  # type: ignore[arg-type]  # in float64 both round alike
        mine, theirs = probabilities(scores, options), hugging_face(logits, options)  # type: ignore[arg-type]
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
        np.testing.assert_array_equal(mine > 0, theirs > 0)


def test_ties_at_the_last_place_of_top_k_all_stay() -> None:
    logits = np.array([1, 3, 2, 2, 0], np.float32)
    options = SamplingOptions(temperature=1.0, top_k=2)
    assert (probabilities(logits, options) > 0).tolist() == [False, True, True, True, False]


def test_greedy_takes_the_first_of_the_likeliest() -> None:
    assert Sampler(SamplingOptions()).choose(np.array([0, 2, 2, 1], np.float32)) == 1


def test_greedy_with_a_penalty_avoids_what_was_written() -> None:
    sampler = Sampler(SamplingOptions(repetition_penalty=3.0), seen=[0])
    logits = np.array([3, 2, 1.5], np.float32)
    assert [sampler.choose(logits) for _ in range(3)] == [1, 2, 0]
    assert logits.tolist() == [3, 2, 1.5], "the caller's logits stay as they are"


def test_draws_follow_the_distribution() -> None:
    options = SamplingOptions(temperature=1.0, seed=1)
    sampler = Sampler(options)
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    counts = np.bincount([sampler.choose(logits) for _ in range(6000)], minlength=3) / 6000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.2], atol=0.02)


def test_a_seed_makes_draws_repeatable_and_a_drawn_seed_is_told() -> None:
    logits = some_logits(0)

    def draw(options: SamplingOptions) -> tuple[list[int], int]:
        sampler = Sampler(options)
        return [sampler.choose(logits) for _ in range(20)], sampler.seed

    first, seed = draw(SamplingOptions(temperature=1.0))
    assert draw(SamplingOptions(temperature=1.0, seed=seed))[0] == first
    assert draw(SamplingOptions(temperature=1.0, seed=seed + 1))[0] != first


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_numbers_stop_the_text(value: float) -> None:
    logits = some_logits(0)
    logits[7] = value
    with pytest.raises(RuntimeFault, match="logits are not numbers"):
        Sampler(SamplingOptions()).choose(logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature must be at least 0, found -1"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, found 0"),
        ({"top_p": 1.1}, "top_p must be"),
        ({"min_p": 2}, "min_p must be between 0 and 1, found 2"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0"),
        ({"seed": -3}, "seed must be at least 0, found -3"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        SamplingOptions(**options)  # type: ignore[arg-type]


def test_options_that_a_model_recommends() -> None:
    config = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}
    assert SamplingOptions.from_generation_config(config) == SamplingOptions(0.6, 50, 0.9, 0.0, 1.1)
    assert SamplingOptions.from_generation_config({**config, "do_sample": False}).temperature == 0
    assert SamplingOptions.from_generation_config({}) == SamplingOptions()
