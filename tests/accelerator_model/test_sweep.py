"""Spaces, their evaluation, and the front."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate import Design, WeightForm, WeightForms, estimate_step
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.sweep import Evaluation, Space, pareto_front
from cosyn.targets.fpga_device import load_fpga_device
from tests.accelerator_model.estimate.shapes import llama

AXES = {"cores": [2, 4], "lanes": [8, 16, 32], "ring_reads": [1, 2], "chain_length": [8, 16, 32]}
ITEMS = llama(layers=2)


def test_a_space_drops_what_breaks_a_rule_and_counts_it() -> None:
    space = Space(load_config("u280"), {"chain_length": [8, 16, 20], "lanes": [16, 5]})
    found = space.candidates()
    assert {(c.chain_length, c.lanes) for c in found.configs} == {(8, 16), (16, 16)}
    assert sum(found.refused.values()) == 4
    assert any("chain_length must be 8, 16 or 32" in rule for rule in found.refused)


def test_chains_follow_from_the_width_of_a_word() -> None:
    space = Space(load_config("u280"), {"ring_reads": [1, 2, 4]})
    assert [c.chains for c in space.candidates().configs] == [32, 64, 128]


def test_names_say_what_differs_from_the_base() -> None:
    configs = Space(load_config("u280"), {"cores": [2, 4]}).candidates().configs
    assert [c.name for c in configs] == ["u280[cores=2]", "u280"]


def test_unknown_and_empty_axes_are_refused() -> None:
    with pytest.raises(ConfigError, match="no field to vary: core; fields: activation_lines, "):
        Space(load_config("u280"), {"core": [1]})
    with pytest.raises(ConfigError, match="nothing to vary in cores: give at least one value"):
        Space(load_config("u280"), {"cores": []})


def test_a_point_is_what_its_configuration_gives_alone() -> None:
    space = Space(load_config("u280"), AXES, [WeightForm(4, 32), WeightForm(2, 32, 8)])
    points = Evaluation(ITEMS, load_fpga_device("u280"), 128)(space)
    assert len(points) == len(points.configs) * 2
    for row in (0, len(points) // 2, len(points) - 1):
        config, form = points.configs[points.config[row]], points.forms[points.form[row]]
        alone = estimate_step(ITEMS, Design.of(config), WeightForms.of(form), tokens=1, position=128)
        seconds = float(alone.cycles) / config.clock_hz
        assert points.columns["tokens_per_second"][row] == pytest.approx(1 / seconds)
        assert points.columns["bits_per_weight"][row] == form.bits_per_weight


def test_points_beyond_the_device_do_not_fit() -> None:
    space = Space(load_config("u280"), {"cores": [4, 8], "clock_hz": [225_000_000, 300_000_000]})
    points = Evaluation(ITEMS, load_fpga_device("u280"), 128)(space)
    fits = {(points.configs[c].cores, points.configs[c].clock_hz): bool(f)
            for c, f in zip(points.config, points.fits, strict=True)}  # fmt: skip
    # Eight cores need 64 channels of 32; 300 MHz asks more of a channel than it has.
    assert fits == {(4, 225_000_000): True, (4, 300_000_000): False, (8, 225_000_000): False, (8, 300_000_000): False}


def test_the_front_is_what_nothing_beats() -> None:
    costs = np.array([[1.0, 5], [2, 4], [2, 4], [3, 3], [3, 6], [4, 3]])
    assert pareto_front(costs).tolist() == [0, 1, 3]
    assert pareto_front(costs, np.array([False, True, True, True, True, True])).tolist() == [1, 3]


def test_the_front_of_random_points_agrees_with_its_definition() -> None:
    costs = np.random.default_rng(5).integers(0, 12, (300, 3)).astype(float)
    kept = set(pareto_front(costs).tolist())
    for row, cost in enumerate(costs):
        beaten = ((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any()
        first = int(np.flatnonzero((costs == cost).all(axis=1))[0]) == row
        assert (row in kept) == (not beaten and first)
