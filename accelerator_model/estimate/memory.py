"""What a core's memory channels can do: refresh, rows, turnarounds, bursts in flight, and single-beat writes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.estimate.design import Design, ceil_div
from cosyn.accelerator_model.simulator.timing import TIMING

Numbers = NDArray[np.float64]


def refresh_share(design: Design) -> Numbers:
    """Share of the cycles in which a channel moves beats."""
    result: Numbers = 1 - design.memory_refresh_cycles / np.maximum(design.memory_refresh_interval_cycles, 1.0)
    return result


def in_flight_share(design: Design) -> Numbers:
    """Share of its rate that a channel reaches with the bursts that may be in flight: one round trip per window."""
    window = design.outstanding_bursts * design.burst_beats
    # A burst's request takes a cycle each way beside the memory's own latency.
    result: Numbers = np.minimum(1.0, window / (design.memory_read_latency_cycles + design.burst_beats))
    return result


def beat_cycles(design: Design) -> Numbers:
    """Cycles of a stripe in a long sequential read: refresh and bursts in flight; rows open ahead of it."""
    result: Numbers = 1 / (refresh_share(design) * in_flight_share(design))
    return result


def read_queue_cycles(design: Design) -> Numbers:
    """What a write waits behind while LD keeps its bursts in flight: all their beats that have not been served."""
    beats = np.maximum(design.outstanding_bursts * design.burst_beats - design.memory_read_latency_cycles, 0.0)
    result: Numbers = beats / refresh_share(design) + design.memory_turnaround_cycles
    return result


def store_cycles(design: Design, tokens: int, head_dim: int, value_dim: int) -> Numbers:
    """Cycles of ST for one head's keys, values and the scales of either, from the first issue to the next."""
    around = TIMING.store_setup + TIMING.store_row + TIMING.store_next
    steps = ceil_div(head_dim, design.chain_length)
    key = tokens * (steps + TIMING.store_activation)
    granule = np.minimum(design.chain_length, design.lanes)
    tiles = ceil_div(value_dim, design.tile_columns)
    value = tokens * tiles * (design.tile_columns / granule + step_stripes(design)) + tokens * TIMING.store_row
    scale = TIMING.store_vector + tokens
    result: Numbers = 4 * around + key + value + 2 * scale
    return result


def store_tail(design: Design) -> Numbers:
    """Cycles from the last stripe of a store to its retirement, past channels that do nothing else."""
    fixed = TIMING.store_request + TIMING.store_retire
    result: Numbers = fixed + design.memory_row_miss_cycles + design.memory_write_latency_cycles
    return result


def store_windows(design: Design, heads: Numbers, tokens: int, head_dim: int, value_dim: int) -> Numbers:
    """How many times, one after the other, as many bursts are written as may lack a response."""
    bursts = ceil_div(head_dim, design.chain_length) + ceil_div(value_dim, design.tile_columns) + 2
    result: Numbers = np.maximum(heads * tokens * bursts / design.outstanding_bursts, 1.0)
    return result


def step_stripes(design: Design) -> Numbers:
    """Stripes of one step of an 8-bit tile."""
    return 2 * design.ring_reads


def append_beats(design: Design, tokens: int, head_dim: int, value_dim: int) -> Numbers:
    """Beats that keys, values and scales of a head take on the channels, with the rows opened for them: one for each
    of the four stores, since tokens that follow one another lie in the same row."""
    steps = ceil_div(head_dim, design.chain_length)
    stripes = ceil_div(value_dim, design.tile_columns) * step_stripes(design)
    turns = 2 * design.memory_turnaround_cycles + design.memory_row_miss_cycles
    result: Numbers = tokens * (steps + stripes + 2) + 4 * (turns + design.memory_row_miss_cycles)
    return result
