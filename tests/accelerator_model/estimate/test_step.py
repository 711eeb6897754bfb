"""A step: one configuration and many, what is refused, and what it says of a known design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate import Design, WeightForm, WeightForms, estimate_step
from cosyn.accelerator_model.estimate.operations import cached_bytes_per_position, total_weights
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.presets import load_config, preset_names
from tests.accelerator_model.estimate.shapes import llama

SMALL = llama(layers=2, hidden=512, inner=1536, heads=8, kv_heads=4, vocab=1000)


@pytest.mark.parametrize("tokens", [1, 8])
def test_many_configurations_at_once_give_what_each_gives_alone(tokens: int) -> None:
    configs = [load_config(name) for name in preset_names()]
    forms = [WeightForm(4, 32), WeightForm(8), WeightForm(2, 32, 4), WeightForm(3, 128)]
    design = Design.stack(configs).tile(len(forms))
    together = estimate_step(
        SMALL, design, WeightForms.of(*forms).repeat(len(configs)), tokens=tokens, position=100
    ).cycles.reshape(len(forms), len(configs))
    for number, form in enumerate(forms):
        for index, config in enumerate(configs):
            alone = estimate_step(SMALL, Design.of(config), WeightForms.of(form), tokens=tokens, position=100)
            assert together[number, index] == pytest.approx(float(alone.cycles), rel=1e-12), (form, config.name)


def test_the_memory_is_what_bounds_seven_billion_weights() -> None:
    config = load_config("u280")
    items = llama()
    assert total_weights(items) == 6_607_077_376
    assert cached_bytes_per_position(items) == 262_144
    step = estimate_step(items, Design.of(config), tokens=1, position=128)
    weight_bytes = float(step.weight_stripes) * config.stripe_bytes * config.cores
    # 4.25 bits a weight; the tiles of the feed-forward layers and the head are not quite full.
    assert weight_bytes == pytest.approx(total_weights(items) * 4.25 / 8, rel=0.01)
    least = float(step.stripes) / (1 - 59 / 878)
    assert least < step.cycles < 1.12 * least
    assert step.macs == pytest.approx(total_weights(items) + 129 * cached_bytes_per_position(items))


def test_terms_and_classes_add_up() -> None:
    design = Design.of(load_config("u280"))
    step = estimate_step(SMALL, design, tokens=1, position=10)
    assert {"weights", "keys and values", "parameters", "row misses", "appends", "logits"} <= set(step.terms)
    assert step.busy[Opcode.MM] > 0, "heads that share keys are rows of one MM"
    assert all(np.all(step.work[o] <= step.busy[o]) for o in (Opcode.MM, Opcode.MV))
    ends = [float(o.end) for o in step.operations]
    assert ends == sorted(ends)


def test_longer_contexts_and_more_tokens_take_longer() -> None:
    design = Design.of(load_config("u280"))
    cycles = [float(estimate_step(SMALL, design, tokens=1, position=p).cycles) for p in (0, 100, 1000, 2000)]
    assert cycles == sorted(cycles)
    cycles = [float(estimate_step(SMALL, design, tokens=t, position=0).cycles) for t in (1, 2, 4, 8)]
    assert cycles == sorted(cycles)


def test_a_step_needs_tokens_and_a_position() -> None:
    design = Design.of(load_config("tiny"))
    with pytest.raises(ConfigError, match="at least one token at a position of at least 0, found 0 at 3"):
        estimate_step(SMALL, design, tokens=0, position=3)


def test_weights_must_be_quantized() -> None:
    floats = tuple(replace(i, stored=None) for i in SMALL)
    with pytest.raises(ConfigError, match="%qkv0: its weights are not quantized; use a recipe such as w8a8"):
        estimate_step(floats, Design.of(load_config("tiny")), tokens=1, position=0)


def test_ten_thousand_points_take_seconds() -> None:
    import time

    design = Design.of(load_config("u280")).tile(10_000)
    begun = time.perf_counter()
    step = estimate_step(llama(), design, tokens=1, position=128)
    assert step.cycles.shape == (10_000,)
    assert time.perf_counter() - begun < 10
