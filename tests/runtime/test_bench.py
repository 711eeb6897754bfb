"""Measurements: of the right thing, and with the arithmetic that they state."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.runtime import LanguageModel, bench, load
from cosyn.runtime.errors import RequestError
from cosyn.runtime.kv_cache import bytes_read_per_token, state_bytes
from cosyn.runtime.manifest import StateSpec
from cosyn.runtime.vm_executor import VMExecutor


@pytest.fixture(scope="module")
def model(handmade_artifact: Path) -> LanguageModel:
    return load(handmade_artifact)


def test_decode(model: LanguageModel) -> None:
    speed = bench.measure_decode(model, 10, 20, repeats=3).against(1e9)
    assert speed.tokens_per_second.low <= speed.tokens_per_second.median <= speed.tokens_per_second.high
    assert speed.bytes_per_token == 928 + 20 * 32
    assert speed.roofline_fraction == pytest.approx(speed.bytes_per_token * speed.tokens_per_second.median / 1e9)
    assert bench.measure_decode(model, 0, 4, repeats=1).roofline_fraction is None


def test_prefill(model: LanguageModel) -> None:
    speed = bench.measure_prefill(model, 40, repeats=3)
    assert speed.prompt_tokens == 40
    assert 0 < speed.tokens_per_second.low <= speed.tokens_per_second.high


def test_bandwidth_reads_the_whole_array(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_FIRST_BYTES", 1 << 22)
    monkeypatch.setattr(bench, "_MOST_BYTES", 1 << 22)
    assert isinstance(model.executor, VMExecutor)
    assert 1e7 < bench.read_bandwidth(model.executor, repeats=2) < 1e12


def test_a_measurement_beyond_the_context_is_refused(model: LanguageModel) -> None:
    with pytest.raises(RequestError, match="a measurement over 97 tokens exceeds the context of 96"):
        bench.measure_decode(model, 90, 7)


def test_bytes_of_caches() -> None:
    full = StateSpec("a", 2, 8, 4, "i8", 0, 0)
    windowed = StateSpec("b", 2, 8, 8, "f16", 10, 3)
    assert bytes_read_per_token([full, windowed], 100) == 100 * 2 * (12 + 8) + 13 * 2 * 16 * 2
    # The ring has 10 + 16 - 1 + 3 places.
    assert state_bytes([full, windowed], 3, 100, 16) == 3 * (100 * 2 * (12 + 8) + 28 * 2 * 16 * 2)
