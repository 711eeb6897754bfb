"""Every latency of the cycle simulator, in cycles, named with the RTL module that has it.

A latency counts from the clock cycle of one event to that of the other; what depends on sizes is in the units.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitTiming:
    """Latencies that do not depend on sizes."""

    fetch_start: int = 1
    """cosyn_control: from the cycle in which the counter of cycles starts to cosyn_fetch's start."""
    fetch_ahead: int = 8
    """cosyn_fetch: instructions requested and not yet dispatched."""
    fetch_request: int = 1
    """cosyn_fetch: from the decision to request to ARVALID."""
    fetch_beats: int = 4
    """cosyn_fetch: beats of an instruction on the 128-bit port."""
    fetch_dispatch: int = 1
    """cosyn_fetch: from the last beat to dispatch."""
    queue: int = 1
    """cosyn_queue: from dispatch to issue."""
    token: int = 1
    """cosyn_tokens: from a retirement to the issue that waited for it."""
    load_in_flight: int = 16
    """cosyn_load: instructions between issue and retirement."""
    load_request: int = 4
    """cosyn_load: from issue to the first ARVALID."""
    load_stripe: int = 3
    """cosyn_load: from RVALID to the ring or the parameter FIFO."""
    load_space: int = 1
    """cosyn_axi_read: from a beat taken to a request in its place."""
    load_parameter_places: int = 2
    """cosyn_fifo_ram: stripes that the parameter FIFO holds besides its depth, on the way to its output."""
    load_parameter: int = 2
    """cosyn_load: from the parameter FIFO's input to the first line's write."""
    load_retire: int = 2
    """cosyn_load: from a ring's last stripe to retirement."""
    load_parameter_retire: int = 1
    """cosyn_load: from the last line's write to retirement."""
    array_start: int = 4
    """cosyn_matrix_engine: from issue to the first word taken from a ring."""
    ring: int = 1
    """cosyn_weight_ring: from a stripe's arrival to its word taken."""
    array_pipeline: int = 19
    """cosyn_matrix_array: from the cycle after a pass's last word to the drain's first read."""
    drain_passes: int = 4
    """cosyn_accumulator: passes whose results can wait for the drain."""
    drain_reserve: int = 2
    """cosyn_dequantizer: from the cycle after a pass's last word to its last step, which needs a place for results."""
    drain_free: int = 1
    """cosyn_drain: from the last read of a pass's results to the use of its place."""
    drain_write: int = 10
    """cosyn_drain: from the read of a line to its write."""
    drain_lines: int = 16
    """cosyn_drain: lines read and not yet written."""
    matrix_retire: int = 1
    """cosyn_drain: from the last write to retirement."""
    misc_start: int = 2
    """cosyn_sfu: from issue to the first read of the vector buffer."""
    misc_lanes: int = 22
    """cosyn_sfu: from a line's last read to its y."""
    misc_write: int = 1
    """cosyn_sfu_write: from y to its write to the vector buffer."""
    misc_vector: int = 3
    """cosyn_sfu_write: from the last y to retirement, where y goes to the vector buffer."""
    misc_activation: int = 4
    """cosyn_sfu_write: from the last y to retirement, where y goes to the activation buffer."""
    misc_nothing: int = 2
    """cosyn_sfu_write: from the last y to retirement, where y goes nowhere."""
    misc_reduction: int = 3
    """cosyn_sfu_write: from the last reduction to retirement."""
    misc_sum: int = 16
    """cosyn_sfu_reduce: from the last y to a sum, besides lanes + 4 log2(lanes)."""
    misc_maximum: int = 5
    """cosyn_sfu_reduce: from the last y to a maximum, besides lanes."""
    store_in_flight: int = 16
    """cosyn_store: instructions between issue and retirement."""
    store_setup: int = 1
    """cosyn_store: from issue to the cycle before the first row, without shifts."""
    store_row: int = 1
    """cosyn_store: the cycle that begins a row."""
    store_vector: int = 3
    """cosyn_store: from the request of a vector line to the cycle after its arrival."""
    store_activation: int = 3
    """cosyn_store: from the request of an activation line to the cycle after its arrival."""
    store_request: int = 3
    """cosyn_axi_write: from a burst's last stripe to AWVALID."""
    store_next: int = 3
    """cosyn_store: from an instruction's last stripe to the next one's issue."""
    store_retire: int = 2
    """cosyn_store: from the last write response to retirement."""
    system: int = 1
    """cosyn_system: from issue to what the operation waits for, and to retirement of NOTHING."""
    meeting: int = 1
    """cosyn_exchange: from the last core's arrival to the retirement of a BARRIER."""
    exchange_core: int = 5
    """cosyn_exchange: cycles of a core's turn besides its lines."""
    exchange_write: int = 4
    """cosyn_exchange: from the beginning of a core's turn to the first write in the others."""


TIMING = UnitTiming()
