"""Weights that are drawn in their stored form, and caches that are given."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ModelError
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.reference import CacheContent, RandomWeights, ReferenceModel
from cosyn.codegen.fpga.random_model import LLAMA2_7B, RandomModel, place_model

SHAPE = {
    **LLAMA2_7B, "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128,
}  # fmt: skip
HEAD = "@lm_head.weight"


def model(recipe: str) -> RandomModel:
    return place_model(SHAPE, load_config("tiny"), recipe, 32, seed=1)


def weights(found: RandomModel, seed: int = 1) -> RandomWeights:
    return RandomWeights(found.layout.plan.graph, found.load, seed)


@pytest.mark.parametrize("recipe", ["w8a8", "w4a8_g32", "w4a8_g32_4of16", "w3a8_g128", "w2a8_g32"])
def test_products_fit_int8_and_fill_it(recipe: str) -> None:
    found = model(recipe)
    stored = weights(found).stored(HEAD)
    assert stored.codes.min() == stored.format.low
    assert stored.codes.max() == stored.format.high
    codes, scales = weights(found).matrix(HEAD)
    expected = stored.codes.astype(np.int32)
    if stored.integers is not None:
        group = stored.format.group(expected.shape[1])
        expected = expected * np.repeat(stored.integers, group, 1)[:, : expected.shape[1]]
    assert np.array_equal(codes, expected)
    rows = codes * scales[:, None]
    assert 0.3 < np.sqrt((rows**2).sum(1).mean()) < 3, "rows of unit variance stay so"


def test_the_same_seed_and_name_give_the_same_matrix() -> None:
    found = model("w4a8_g32")
    first, again = weights(found).matrix(HEAD), weights(found).matrix(HEAD)
    other = weights(found, seed=2).matrix(HEAD)
    assert np.array_equal(first.codes, again.codes)
    assert np.array_equal(first.scales, again.scales)
    assert not np.array_equal(first.codes, other.codes)


def test_two_rows_keep_the_same_columns_of_a_block() -> None:
    stored = weights(model("w4a8_g32_8of16")).stored(HEAD)
    blocks = stored.codes.reshape(-1, 2, stored.codes.shape[1] // 16, 16)
    kept = (blocks != 0).any(1).sum(-1)
    assert kept.max() == 8
    assert kept.mean() > 7.5, "a code may be zero too"


def test_floats_are_refused() -> None:
    with pytest.raises(ModelError, match=r"model.norm.weight: expected a matrix of signed codes, found f32"):
        weights(model("w8a8")).stored("@model.norm.weight")


def test_a_given_cache_continues_the_sequence() -> None:
    """The logits are those of a model that went through the sequence itself."""
    found = model("w8a8")
    graph = found.layout.plan.graph
    whole = ReferenceModel(graph, weights(found), 4)
    whole.step([3, 1, 4, 1, 5])
    (cache,) = whole._caches.values()
    parts = (cache.key_codes, cache.key_scales, cache.value_codes, cache.value_scales)
    content = CacheContent(*(part[:, : cache.length] for part in parts))
    resumed = ReferenceModel(graph, weights(found), 4)
    resumed.resume({graph.states[0].name: content})
    assert resumed.position == 5
    assert np.array_equal(resumed.step([9, 2]), whole.step([9, 2]))
