"""The driver's runtime registers are those that the accelerator's model declares."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from cosyn.accelerator_model import cache_spans
from cosyn.accelerator_model.cache_pattern import CachePattern, skip_unit
from cosyn.accelerator_model.control import runtime_register_address
from cosyn.accelerator_model.presets import load_config, preset_names
from cosyn.accelerator_model.program import registers_for
from cosyn.runtime.fpga.description import Geometry, Pattern, SpanPattern
from cosyn.runtime.fpga.registers import step_registers

ROPE_ROW_STRIPES = 3
POSITIONS = (*range(70), *range(123, 136), *range(250, 262), 383, 384, 511, 512, 1000, 1023, 1024, 4095, 4096, 8191)


@pytest.mark.parametrize("preset", preset_names())
def test_driver_and_model_agree(preset: str) -> None:
    config = load_config(preset)
    patterns = [
        CachePattern.of(config, window, sinks, key_steps) for window, sinks, key_steps in ((1, 0, 1), (1024, 300, 8))
    ]
    unit = skip_unit(config)
    spans = (0, 3, unit, 5 * unit, 5 * unit + 7)
    masked = spans, (0, 0, 0, unit, 3 * unit), (0, 0, 0, 2 * unit, 2 * unit)
    geometry = Geometry(
        config.tile_columns,
        config.chain_length,
        config.lanes,
        config.stripe_bytes,
        ROPE_ROW_STRIPES,
        (*(Pattern(**asdict(pattern)) for pattern in patterns), SpanPattern(*masked)),
        spans,
    )
    modelled = [*patterns, cache_spans.SpanPattern(*masked)]
    for position in POSITIONS:
        for tokens in (1, 2, 4, 8, 16):
            expected = registers_for(config, position, tokens, ROPE_ROW_STRIPES, modelled)
            addresses = {runtime_register_address(number): value for number, value in expected.items()}
            assert step_registers(geometry, position, tokens) == addresses, (position, tokens)


def test_a_window_skips_the_units_that_it_does_not_reach() -> None:
    config = load_config("tiny")  # tiles of 8 by 8, stripes of 8 words, 4 lanes: units of 16 positions
    pattern = CachePattern.of(config, 20, 3, 2)
    assert (pattern.unit, pattern.kept, pattern.key_tile_stripes, pattern.value_step_stripes) == (16, 16, 4, 2)
    assert [pattern.skipped(position) for position in (0, 34, 50, 51, 66, 67)] == [0, 0, 0, 16, 16, 32]
    assert pattern.columns(0, 1) == 17  # one behind the kept ones
    assert pattern.columns(67, 1) == 68 - 32
    assert max(pattern.columns(position, 4) for position in range(500)) == pattern.most_columns(504, 4)
    assert pattern.most_columns(40, 4) == 40
