"""Configurations as arrays: the same formulas serve one configuration and ten thousand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES, AcceleratorConfig

Numbers = NDArray[np.float64]


def ceil_div(value: Any, divisor: Any) -> Numbers:
    """Quotient rounded up, of numbers or arrays; exact for whole numbers below 2^53."""
    result: Numbers = -(-np.asarray(value, float) // np.asarray(divisor, float))
    return result


@dataclass(frozen=True, slots=True)
class Design:
    """The fields of `AcceleratorConfig` that decide its speed, one array each; its memory's with `memory_`."""

    clock_hz: Numbers
    cores: Numbers
    chain_length: Numbers
    chains: Numbers
    token_replicas: Numbers
    channels_per_core: Numbers
    channel_bytes: Numbers
    ring_reads: Numbers
    weight_ring_words: Numbers
    kv_ring_words: Numbers
    lanes: Numbers
    burst_beats: Numbers
    outstanding_bursts: Numbers
    parameter_fifo_stripes: Numbers
    memory_row_bytes: Numbers
    memory_row_miss_cycles: Numbers
    memory_turnaround_cycles: Numbers
    memory_refresh_interval_cycles: Numbers
    memory_refresh_cycles: Numbers
    memory_read_latency_cycles: Numbers
    memory_write_latency_cycles: Numbers

    @staticmethod
    def of(config: AcceleratorConfig) -> Design:
        """One configuration."""
        return Design(*(np.asarray(_value(config, f.name), float) for f in fields(Design)))

    @staticmethod
    def stack(configs: Sequence[AcceleratorConfig]) -> Design:
        """Many configurations, arrays [configs]."""
        return Design(*(np.array([_value(c, f.name) for c in configs], float) for f in fields(Design)))

    def tile(self, times: int) -> Design:
        """All configurations, `times` over."""
        return Design(*(np.tile(np.atleast_1d(getattr(self, f.name)), times) for f in fields(Design)))

    @property
    def tile_columns(self) -> Numbers:
        return 2 * self.chains

    @property
    def token_group(self) -> Numbers:
        return 2 * self.token_replicas

    @property
    def stripe_bytes(self) -> Numbers:
        return self.channels_per_core * self.channel_bytes

    @property
    def stripe_lines(self) -> Numbers:
        """Vector lines in one stripe."""
        return self.stripe_bytes / (self.lanes * VECTOR_ELEMENT_BYTES)

    @property
    def peak_bytes_per_second(self) -> Numbers:
        return self.cores * self.stripe_bytes * self.clock_hz


def _value(config: AcceleratorConfig, name: str) -> int:
    if name.startswith("memory_"):
        return int(getattr(config.memory, name.removeprefix("memory_")))
    return int(getattr(config, name))
