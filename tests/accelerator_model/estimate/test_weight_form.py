"""Forms and streams as arrays say the same as the tile stream does for one configuration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate import Design, WeightForm, WeightForms
from cosyn.accelerator_model.estimate.weight_form import stream
from cosyn.accelerator_model.presets import load_config, preset_names
from cosyn.accelerator_model.tile_stream import tile_steps, tile_words
from cosyn.ir.weight_format import WeightFormat

FORMS = [
    WeightForm(bits, group, kept)
    for bits, group, kept in itertools.product((2, 3, 4, 8), (0, 32, 128), (16, 8, 4, 2))
    if not (bits == 3 and kept != 16) and not (bits == 8 and group)
]


@pytest.mark.parametrize("name", preset_names())
def test_a_stream_has_the_tiles_steps_and_words_of_the_tile_stream(name: str) -> None:
    config = load_config(name)
    for rows, columns in ((4096, 1024), (11008, 1000), (100, 7)):
        made = stream(Design.of(config), WeightForms.of(*FORMS), rows, columns)
        for number, form in enumerate(FORMS):
            if form.kept > config.chain_length and form.kept != 16:
                continue
            steps = tile_steps(config, rows, form.bits, form.kept)
            group = max(1, form.group // config.chain_length) if form.group else 0
            words = tile_words(config, steps, form.bits, form.kept, group)
            assert made.steps[number] == steps, form
            assert made.words[number] == words, form
            assert made.total_words[number] == words * -(-columns // config.tile_columns)


def test_bits_per_weight_count_scales_and_indices() -> None:
    assert WeightForm(4).bits_per_weight == 4
    assert WeightForm(4, 32).bits_per_weight == 4.25
    assert WeightForm(4, 32, 8).bits_per_weight == 0.5 * (4 + 2 + 0.25)
    assert str(WeightForm(4, 32, 8)) == "w4a8_g32_8of16"
    assert str(WeightForm(8)) == "w8a8"


def test_a_form_of_a_stored_weight() -> None:
    assert WeightForm.of_format(WeightFormat.parse("i4g32u8.8of16:f32")) == WeightForm(4, 32, 8)
    assert WeightForm.of_format(WeightFormat.parse("i8row:f32")) == WeightForm(8)
    with pytest.raises(ConfigError, match="use a recipe such as w8a8 or w4a8_g32"):
        WeightForm.of_format(WeightFormat.parse("i4g32:f16"))


def test_illegal_forms_are_refused() -> None:
    with pytest.raises(ConfigError, match="a weight form has 2, 3, 4 or 8 bits"):
        WeightForm(5)
    with pytest.raises(ConfigError, match="3-bit weights are always dense"):
        WeightForm(3, 32, 8)


def test_repeat_pairs_every_form_with_every_design() -> None:
    forms = WeightForms.of(WeightForm(4), WeightForm(8)).repeat(3)
    assert np.array_equal(forms.bits, [4, 4, 4, 8, 8, 8])
