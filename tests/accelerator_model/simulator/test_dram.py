"""The memory channel against cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.accelerator_model.config import MemoryTiming
from cosyn.accelerator_model.simulator.dram import Beats, Channel

CALM = MemoryTiming(
    row_bytes=1024,
    row_miss_cycles=6,
    turnaround_cycles=4,
    refresh_interval_cycles=1_000_000,
    refresh_cycles=0,
    read_latency_cycles=28,
    write_latency_cycles=12,
)


def channel(timing: MemoryTiming = CALM) -> Channel:
    return Channel(timing, channel_bytes=32)


def test_the_first_burst_opens_its_row() -> None:
    # arrives in 10, could move in 11, the row costs 6
    assert channel().serve(10, 0, 16) == [Beats(17, 16)]


def test_bursts_in_a_row_and_in_the_next_row_follow_without_a_gap() -> None:
    memory = channel()
    memory.serve(0, 512, 16)
    assert memory.serve(1, 1024, 16) == [Beats(23, 16)]
    assert memory.serve(2, 1536, 16) == [Beats(39, 16)]
    assert memory.serve(3, 2048, 16) == [Beats(55, 16)]
    assert memory.row_misses == 1


def test_a_row_further_on_or_back_is_opened_again() -> None:
    memory = channel()
    memory.serve(0, 0, 16)  # 7..22
    assert memory.serve(1, 2048, 16) == [Beats(29, 16)]
    assert memory.serve(2, 1024, 16) == [Beats(51, 16)]
    assert memory.row_misses == 3


def test_turning_round_costs_both_ways() -> None:
    memory = channel()
    memory.serve(0, 0, 4)  # 7..10
    assert memory.serve(1, 128, 2, write=True) == [Beats(15, 2)]
    assert memory.serve(2, 192, 2, write=True) == [Beats(17, 2)]
    assert memory.serve(3, 256, 1) == [Beats(23, 1)]
    assert memory.turnarounds == 2


def test_a_late_burst_starts_after_its_arrival() -> None:
    memory = channel()
    memory.serve(0, 0, 4)
    assert memory.serve(100, 128, 4) == [Beats(101, 4)]


def test_nothing_moves_during_a_refresh() -> None:
    memory = channel(replace(CALM, refresh_interval_cycles=50, refresh_cycles=8))
    # cycles 0..7 refresh; the wait for the row runs on meanwhile
    assert memory.serve(0, 0, 16) == [Beats(8, 16)]
    assert memory.serve(1, 512, 32) == [Beats(24, 26), Beats(58, 6)]
    # a burst that would begin in a refresh begins after it
    assert memory.serve(101, 1536, 4) == [Beats(108, 4)]


def test_a_write_waits_for_its_data() -> None:
    assert channel().serve(0, 0, 2, write=True, data_from=40) == [Beats(40, 2)]


@pytest.mark.parametrize("beats", [1, 5, 200])
def test_no_beat_is_lost(beats: int) -> None:
    memory = channel(replace(CALM, refresh_interval_cycles=40, refresh_cycles=10))
    moved = memory.serve(3, 0, beats)
    assert sum(item.length for item in moved) == beats
    assert all(cycle % 40 >= 10 for item in moved for cycle in range(item.first, item.last + 1))
