"""The recurrence: loads run ahead as far as the ring goes, and no further."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.config import MemoryTiming
from cosyn.accelerator_model.estimate.design import Design
from cosyn.accelerator_model.estimate.memory import beat_cycles, in_flight_share, refresh_share
from cosyn.accelerator_model.estimate.timeline import Timeline
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.presets import load_config

IDEAL = MemoryTiming(1024, 0, 0, 1000, 0, 0, 0)
"""A beat every cycle, at once."""


def timeline(**changes: int) -> Timeline:
    config = replace(load_config("u280"), memory=IDEAL, **changes)  # type: ignore[arg-type]  # integers
    design = Design.of(config)
    return Timeline(design, beat_cycles(design))


def test_a_memory_bound_stream_ends_with_its_last_word() -> None:
    line = timeline()
    end = line.stream(Opcode.MV, "weights", 1000, 1000, 0, 0, 0)
    # Two stripes a word, then the last word's way through the ring.
    assert 2000 <= end <= 2010


def test_a_compute_bound_stream_takes_the_cycles_of_the_array() -> None:
    line = timeline()
    end = line.stream(Opcode.MM, "weights", 1000, 8000, 20, 100, 0)
    assert 8120 <= end <= 8130


def test_loads_run_ahead_while_the_array_waits() -> None:
    line = timeline(weight_ring_words=3072)
    line.stream(Opcode.MV, "weights", 1000, 1000, 0, 0, 0)
    # The second matrix waits for its activations until 8000: by then its words are in the ring.
    end = line.stream(Opcode.MV, "weights", 2000, 2000, 0, 8000, 0)
    assert 10000 <= end <= 10010
    assert line.memory <= 6010


def test_a_full_ring_holds_the_memory_back() -> None:
    line = timeline(weight_ring_words=512)
    line.stream(Opcode.MV, "weights", 1000, 1000, 0, 0, 0)
    end = line.stream(Opcode.MV, "weights", 2000, 2000, 0, 8000, 0)
    # 512 words are there at 8000; the other 1488 come at two cycles a word.
    assert end == pytest.approx(8000 + 2 * 1488, abs=15)


def test_refresh_and_bursts_in_flight_slow_every_beat() -> None:
    config = load_config("u280")
    design = Design.of(config)
    assert refresh_share(design) == pytest.approx(1 - 59 / 878)
    assert in_flight_share(design) == 1
    one = Design.of(replace(config, outstanding_bursts=1))
    assert in_flight_share(one) == pytest.approx(16 / (28 + 16))
    assert beat_cycles(one) == pytest.approx(1 / (refresh_share(one) * in_flight_share(one)))


def test_parameters_beyond_the_fifo_wait_for_the_vector_buffer() -> None:
    line = timeline(parameter_fifo_stripes=64)
    ready = line.load_vector(1000, 0)
    # Eight lines a stripe, one a cycle; 64 stripes wait in the FIFO and 256 beats in the channels.
    assert ready == pytest.approx(8000, abs=10)
    assert line.memory == pytest.approx(8000 - 64 * 8 - 256, abs=10)
    assert np.all(line.terms["vector buffer full"] > 6000)
