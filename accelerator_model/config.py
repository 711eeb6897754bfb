"""The accelerator's configuration: a frozen record whose rules are checked when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from cosyn.accelerator_model.errors import ConfigError

SPARSITY_BLOCK = 16
"""M of N:M sparsity: weights are kept N of 16 along the reduction."""

VECTOR_ELEMENT_BYTES = 4
"""The vector buffer holds 32-bit floats."""

INSTRUCTION_BYTES = 64
"""Every instruction is 512 bits."""

BANK_REGISTERS = 16
"""Runtime registers of a bank; the first of each is no register."""

REGISTER_BANKS = 4
"""Bank 0 describes the step, each of the others a pattern of attention that skips part of the cache."""

REGISTERS = BANK_REGISTERS * REGISTER_BANKS
"""Runtime registers that the host writes before it rings the doorbell."""


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, slots=True)
class MemoryTiming:
    """What one memory channel does, in cycles of the accelerator's clock.

    A channel moves one beat (`channel_bytes`) a cycle. It serves bursts in order of arrival; opening a row that
    does not follow the open one costs `row_miss_cycles`; turning from reads to writes or back costs
    `turnaround_cycles`; every `refresh_interval_cycles` it moves nothing for `refresh_cycles`.
    """

    row_bytes: int
    row_miss_cycles: int
    turnaround_cycles: int
    refresh_interval_cycles: int
    refresh_cycles: int
    read_latency_cycles: int
    write_latency_cycles: int


@dataclass(frozen=True, slots=True)
class AcceleratorConfig:
    """One point of the accelerator's space.

    A core multiplies with `chains` chains of `chain_length` DSPs, each two INT8 products a cycle, repeated for
    `token_replicas` pairs of tokens. In MV mode a chain holds two output columns (1 x chain_length x 2 chains);
    in MM mode two tokens and one column (2 token_replicas x chain_length x chains).
    """

    name: str
    device: str
    """The device whose resources and memory it is meant for: a name in targets/fpga/."""
    clock_hz: int
    cores: int
    chain_length: int
    chains: int
    token_replicas: int
    weight_bits: tuple[int, ...]
    kept: tuple[int, ...]
    """Allowed N of N:16 sparsity besides dense: any of 8, 4, 2; empty leaves the sparse MUX out."""
    channels_per_core: int
    channel_bytes: int
    """Width of one AXI4 data channel."""
    ring_reads: int
    """Stripes that the matrix engine takes from the weight ring in one cycle (1, 2 or 4)."""
    weight_ring_words: int
    kv_ring_words: int
    activation_lines: int
    """Depth of each of the 2 token_replicas activation banks."""
    vector_lines: int
    """Depth of the vector buffer; a line is one f32 per lane."""
    lanes: int
    """Elements that the special-function unit handles a cycle."""
    queue_depth: int
    burst_beats: int
    """Longest AXI burst."""
    outstanding_bursts: int
    """Read bursts in flight per channel."""
    parameter_fifo_stripes: int
    """Stripes that wait for the vector buffer while weights already stream behind them."""
    watchdog_cycles: int
    """Cycles without any retirement after which a busy core reports a hang."""
    memory: MemoryTiming

    def __post_init__(self) -> None:
        broken = list(self._broken_rules())
        if broken:
            raise ConfigError(f"accelerator configuration {self.name!r}: " + "; ".join(broken))

    def _broken_rules(self) -> Iterator[str]:
        """One sentence per rule that the values break."""
        skip = {"name", "device", "weight_bits", "kept", "memory"}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in skip and (not isinstance(value, int) or value <= 0):
                yield f"{field.name} must be a positive integer, found {value!r}"
                return
        if self.chain_length not in (8, 16, 32):
            yield f"chain_length must be 8, 16 or 32, found {self.chain_length}"
        if not set(self.weight_bits) <= {2, 3, 4, 8} or not self.weight_bits:
            yield f"weight_bits must be some of 2, 3, 4, 8, found {list(self.weight_bits)}"
        if not set(self.kept) <= {2, 4, 8}:
            yield f"kept must be some of 8, 4, 2 (of {SPARSITY_BLOCK}), found {list(self.kept)}"
        if self.channel_bytes not in (16, 32, 64):
            yield f"channel_bytes must be 16, 32 or 64, found {self.channel_bytes}"
        elif self.channel_bytes % self.chain_length:
            yield f"channel_bytes {self.channel_bytes} must be a multiple of chain_length {self.chain_length}"
        if self.ring_reads not in (1, 2, 4):
            yield f"ring_reads must be 1, 2 or 4, found {self.ring_reads}"
        if self.chain_length * self.chains != self.word_bytes:
            yield (
                f"chain_length x chains must equal the weight word of channels_per_core x channel_bytes x ring_reads"
                f" = {self.word_bytes} bytes (one 4-bit step a cycle), found {self.chain_length * self.chains}"
            )
        if not _power_of_two(self.lanes) or self.lanes < 4:
            yield f"lanes must be a power of two of at least 4, found {self.lanes}"
        else:
            if self.tile_columns % self.lanes:
                yield f"2 x chains = {self.tile_columns} must be a multiple of lanes {self.lanes}"
            if self.stripe_bytes % self.line_bytes:
                yield f"a stripe of {self.stripe_bytes} bytes must hold whole vector lines of {self.line_bytes} bytes"
            if self.activation_line_bytes % self.lanes:
                yield f"activation lines of {self.activation_line_bytes} bytes must be a multiple of lanes {self.lanes}"
        if not _power_of_two(self.token_replicas):
            yield f"token_replicas must be a power of two, found {self.token_replicas}"
        if self.burst_beats * self.channel_bytes > 4096 or self.burst_beats > 256:
            yield f"a burst may not exceed 256 beats or 4096 bytes, found {self.burst_beats} x {self.channel_bytes}"
        if 4096 % (self.burst_beats * self.channel_bytes):
            yield f"a burst of {self.burst_beats * self.channel_bytes} bytes must divide 4096 (AXI's boundary)"
        if self.memory.row_bytes % (self.burst_beats * self.channel_bytes):
            yield f"memory.row_bytes {self.memory.row_bytes} must hold whole bursts"

    # -- derived sizes ------------------------------------------------------------------------------------------

    @property
    def macs(self) -> int:
        """INT8 products a core can make each cycle in MV mode (MM makes `token_replicas` times as many)."""
        return 2 * self.chain_length * self.chains

    @property
    def tile_columns(self) -> int:
        """Output columns of one tile."""
        return 2 * self.chains

    @property
    def stripe_bytes(self) -> int:
        """One beat of every channel of a core: the unit of its memory addresses."""
        return self.channels_per_core * self.channel_bytes

    @property
    def word_bytes(self) -> int:
        """What the matrix engine reads from a weight ring in a cycle."""
        return self.stripe_bytes * self.ring_reads

    @property
    def line_bytes(self) -> int:
        """A line of the vector buffer."""
        return self.lanes * VECTOR_ELEMENT_BYTES

    @property
    def stripe_lines(self) -> int:
        """Vector lines in one stripe."""
        return self.stripe_bytes // self.line_bytes

    @property
    def token_group(self) -> int:
        """Tokens that MM mode works on at once; the number of activation banks."""
        return 2 * self.token_replicas

    @property
    def activation_line_bytes(self) -> int:
        """One line of an activation bank: the widest window that a sparse step selects from."""
        return self.chain_length * (SPARSITY_BLOCK // min(self.kept) if self.kept else 1)

    def window(self, kept: int) -> int:
        """Activations that one step of a chain spans: chain_length when dense, more when N of 16 are kept."""
        return self.chain_length * SPARSITY_BLOCK // kept

    @property
    def scale_groups_per_word(self) -> int:
        """Groups whose one-byte scales share a weight word."""
        return self.chain_length // 2

    @property
    def dsps_per_core(self) -> int:
        """DSPs of the matrix engine alone."""
        return self.chain_length * self.chains * self.token_replicas

    @property
    def peak_bytes_per_second(self) -> int:
        """Peak of all memory channels together."""
        return self.cores * self.stripe_bytes * self.clock_hz
