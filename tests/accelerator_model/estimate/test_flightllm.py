"""FlightLLM's board and profiler, from published facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.accelerator_model.estimate.flightllm import (
    BOARD,
    CORRECTION,
    MEASURED_SECONDS,
    PROFILER,
    decode_seconds,
    groups,
    split_projections,
)
from cosyn.accelerator_model.presets import load_config
from tests.accelerator_model.estimate.shapes import llama

GEOMETRY = load_config("u280-flightllm")
LLAMA2_7B = split_projections(llama())


def test_the_preset_is_the_published_geometry() -> None:
    assert GEOMETRY.macs == 1024
    assert GEOMETRY.dsps_per_core * GEOMETRY.cores == 6144
    assert 2 * GEOMETRY.dsps_per_core == 4096
    assert (GEOMETRY.cores, GEOMETRY.lanes, GEOMETRY.channels_per_core) == (3, 16, 8)


@pytest.mark.parametrize("context", [128, 512])
def test_the_board_within_ten_per_cent(context: int) -> None:
    predicted = decode_seconds(LLAMA2_7B, GEOMETRY, BOARD, context=context, bits=4.1)
    assert predicted == pytest.approx(MEASURED_SECONDS[context], rel=0.10)


def test_the_published_throughput_of_55_tokens_a_second() -> None:
    predicted = decode_seconds(LLAMA2_7B, GEOMETRY, BOARD, context=128, bits=4.1)
    assert 1 / predicted == pytest.approx(55, rel=0.10)


def test_the_released_profiler_without_its_correction() -> None:
    one = replace(GEOMETRY, cores=1)
    seconds = {c: decode_seconds(LLAMA2_7B, one, PROFILER, context=c, bits=4, sparse_density=0.7) for c in (144, 2048)}
    assert seconds[144] == pytest.approx(29.702e-3, rel=0.02)
    assert seconds[144] / CORRECTION == pytest.approx(9.282e-3, rel=0.02)
    slope = (seconds[2048] - seconds[144]) / (2048 - 144)
    assert slope / CORRECTION == pytest.approx(1.43e-6, rel=0.02)


def test_the_released_profiler_is_bound_by_its_matrix_vector_unit() -> None:
    one = replace(GEOMETRY, cores=1)
    found = list(groups(LLAMA2_7B, one, PROFILER, context=144, bits=4, sparse_density=0.7))
    total = sum(g.cycles for g in found)
    assert sum(g.multiply for g in found) / total == pytest.approx(0.949, abs=0.02)
    assert sum(g.load for g in found) / total == pytest.approx(0.722, abs=0.03)
    assert sum(g.special for g in found) / total == pytest.approx(0.024, abs=0.005)


def test_thirteen_groups_a_layer() -> None:
    found = list(groups(LLAMA2_7B, GEOMETRY, BOARD, context=128, bits=4.1))
    # 418 in all: these, and two a layer that append a key and a value, which take no time here.
    assert len(found) == 418 - 64
    assert sum(g.name == "linear" for g in found) == 225
