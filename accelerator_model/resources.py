"""What a configuration takes of an FPGA: DSPs, LUTs, flip-flops, block RAMs and UltraRAMs, block by block.

DSPs and memories follow from the structure of the RTL: every memory is a `cosyn_ram_1r1w` or `cosyn_fifo_ram`, which
maps to primitives by its width and depth. LUTs and flip-flops are counts of units times what synthesis of one unit
takes (yosys, UltraScale+; `rtl_testbench/synthesis` compares whole configurations).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cosyn.accelerator_model.config import INSTRUCTION_BYTES, AcceleratorConfig
from cosyn.accelerator_model.errors import ConfigError

RESOURCES = ("dsp", "lut", "ff", "bram36", "uram")


@dataclass(frozen=True, slots=True)
class Use:
    """Resources of one block; a half of a block RAM counts 0.5."""

    dsp: float = 0.0
    lut: float = 0.0
    ff: float = 0.0
    bram36: float = 0.0
    uram: float = 0.0

    def __add__(self, other: Use) -> Use:
        return Use(*(getattr(self, n) + getattr(other, n) for n in RESOURCES))

    def times(self, count: float) -> Use:
        """`count` of it."""
        return Use(*(getattr(self, n) * count for n in RESOURCES))


@dataclass(frozen=True, slots=True)
class Resources:
    """Use of one core by block, of all cores, and of what there is once."""

    core: Mapping[str, Use]
    once: Mapping[str, Use]
    cores: int

    @property
    def total(self) -> Use:
        return sum(self.core.values(), Use()).times(self.cores) + sum(self.once.values(), Use())


# -- memories ----------------------------------------------------------------------------------------------------


_SHAPES = ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))
"""Width and depth of a RAMB36 with one write and one read port; a RAMB18 is half as wide at 512, or half as deep."""


def block_rams(width: int, depth: int, *, partial: bool = False) -> float:
    """RAMB36 of a memory with one write and one read port, in its cheapest shape.

    Where words are written in parts (`partial`), whole RAMB36 are taken.
    """
    whole = min(-(-width // w) * -(-depth // d) for w, d in _SHAPES)
    halves = min(-(-width // min(w, 36)) * -(-depth // (512 if w == 72 else d // 2)) for w, d in _SHAPES)
    return float(whole) if partial else min(whole, halves / 2)


def ultra_rams(width: int, depth: int) -> int:
    """URAM288 of a memory with one write and one read port: 4096 x 72 each."""
    return -(-width // 72) * -(-depth // 4096)


def ram(width: int, depth: int, *, ultra: bool, partial: bool = False) -> Use:
    """A `cosyn_ram_1r1w`; its output stage are registers of its own."""
    if ultra:
        return Use(ff=width, uram=ultra_rams(width, depth))
    return Use(ff=width, bram36=block_rams(width, depth, partial=partial))


def fifo_ram(width: int, depth: int) -> Use:
    """A `cosyn_fifo_ram`: block memory and its pointers."""
    pointer = max(1, (depth - 1).bit_length())
    return Use(lut=6 * pointer, ff=3 * pointer) + ram(width, depth, ultra=False)


def fifo(width: int, depth: int) -> Use:
    """A `cosyn_fifo`: distributed memory, 32 x 14 bits in 8 LUTs (RAM32M16), read through a multiplexer beyond."""
    pointer = max(1, (depth - 1).bit_length())
    banks = -(-depth // 32)
    return Use(lut=banks * -(-width // 14) * 8 + (banks - 1) * width + 6 * pointer, ff=3 * pointer)


# -- units, as synthesis of one of them counts -------------------------------------------------------------------

FP_MULTIPLY = Use(dsp=2, lut=109, ff=172)
FP_ADD = Use(lut=496, ff=147)
FP_SPECIAL = Use(dsp=4, lut=1044, ff=617)
FP_TO_INT8 = Use(lut=63, ff=19)
FP_FROM_INT32 = Use(lut=176, ff=70)
FP_MAX = Use(lut=90)


def resources(config: AcceleratorConfig) -> Resources:
    """The resources of `config` by block."""
    core = {
        "chains": _chains(config),
        "dequantizer": _dequantizer(config),
        "sparse multiplexers": _sparse(config),
        "accumulators and drain": _drain(config),
        "weight rings": _rings(config),
        "activation buffer": _activation(config),
        "vector buffer": _vector(config),
        "special functions": _special(config),
        "load": _load(config),
        "store": _store(config),
        "queues and fetch": _queues(config),
    }
    return Resources(core, {"control and exchange": _once(config)}, config.cores)


def _chains(config: AcceleratorConfig) -> Use:
    dsps = config.dsps_per_core
    # Skew registers of a cascade of eight: 24 bits, 0 to 7 cycles, in shift registers; then the sum of the cascades.
    return Use(dsp=dsps, lut=24 * dsps * 6 / 8, ff=24 * dsps / 8)


def _rings(config: AcceleratorConfig) -> Use:
    # Both rings share a memory for each stripe of a word; below half an UltraRAM's depth it is block memory.
    depth = config.weight_ring_words + config.kv_ring_words
    return ram(8 * config.stripe_bytes, depth, ultra=depth >= 2048).times(config.ring_reads)


def _vector(config: AcceleratorConfig) -> Use:
    # Two copies for two reads a cycle, two lanes in each memory.
    pair = ram(64, config.vector_lines, ultra=config.vector_lines >= 4096, partial=True)
    return pair.times(config.lanes // 2 * 2)


def _dequantizer(config: AcceleratorConfig) -> Use:
    # Codes of every width are unpacked to a byte: a multiplexer of four. The group's scale multiplies the two sums of a
    # chain: eight shifted 20-bit terms and a 28-bit sum, in adders.
    scaled = Use(lut=4 * 24 + 2 * 24 + 28, ff=2 * 24 + 28).times(2 * config.chains * config.token_replicas)
    return Use(lut=8 * config.macs, ff=8 * config.macs) + scaled


def _sparse(config: AcceleratorConfig) -> Use:
    if not config.kept:
        return Use()
    # 16 to 1 for each byte of each token of a DSP: 4 LUTs a bit with the dedicated multiplexers.
    return Use(lut=4 * 8 * config.chain_length * config.chains * config.token_group)


def _drain(config: AcceleratorConfig) -> Use:
    sums = config.tile_columns * config.token_group
    lane = FP_FROM_INT32 + FP_MULTIPLY.times(2)
    return Use(lut=32 * sums, ff=2 * 32 * sums) + lane.times(config.lanes)


def _activation(config: AcceleratorConfig) -> Use:
    ultra = config.activation_lines >= 4096
    bank = ram(8 * config.activation_line_bytes, config.activation_lines, ultra=ultra, partial=True)
    return bank.times(config.token_group)


def _special(config: AcceleratorConfig) -> Use:
    # A lane: a b + c, F, times d; its reduction squares, adds and compares. Four adders more join the lanes' results.
    lane = FP_MULTIPLY.times(3) + FP_ADD.times(2) + FP_SPECIAL + FP_TO_INT8 + FP_MAX
    return lane.times(config.lanes) + FP_ADD.times(4) + FP_MAX


def _load(config: AcceleratorConfig) -> Use:
    depth = config.outstanding_bursts * config.burst_beats
    channel = fifo_ram(8 * config.channel_bytes, depth) + fifo(49, 4) + Use(lut=150, ff=200)
    stripe = fifo_ram(8 * config.stripe_bytes + 32, config.parameter_fifo_stripes)
    return channel.times(config.channels_per_core) + stripe + Use(lut=1500, ff=1500 + 16 * config.stripe_bytes)


def _store(config: AcceleratorConfig) -> Use:
    channel = fifo(9 * config.channel_bytes + 1, 2 * config.burst_beats) + Use(lut=150, ff=200)
    return channel.times(config.channels_per_core) + Use(lut=3000, ff=2000 + 8 * config.stripe_bytes)


def _queues(config: AcceleratorConfig) -> Use:
    return fifo(8 * INSTRUCTION_BYTES, config.queue_depth).times(6) + fifo(514, 8) + Use(lut=2500, ff=2500)


def _once(config: AcceleratorConfig) -> Use:
    return Use(lut=1000 + 600 * config.cores, ff=1500 + (600 + 8 * config.line_bytes) * config.cores)


# -- does it fit -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shortage:
    """One resource of which a configuration needs more than there is."""

    resource: str
    needed: float
    available: float

    def __str__(self) -> str:
        over = self.needed - self.available
        return (
            f"{self.resource} {self.needed:,.0f} of {self.available:,.0f},"
            f" {over:,.0f} too many ({self.needed / self.available:.0%})"
        )


def shortages(config: AcceleratorConfig, available: Mapping[str, float]) -> tuple[Shortage, ...]:
    """The resources that `config` exceeds, by the names of RESOURCES."""
    total = resources(config).total
    return tuple(Shortage(n, getattr(total, n), available[n]) for n in RESOURCES if getattr(total, n) > available[n])


_BUFFERS = ("weight_ring_words", "kv_ring_words", "activation_lines", "vector_lines", "outstanding_bursts")
_STRUCTURE = ("token_replicas", "lanes", "cores")


def smallest_change(config: AcceleratorConfig, available: Mapping[str, float]) -> str:
    """The field that has to shrink least for `config` to fit, as `name from → to`; empty when no one field is enough.

    A buffer rather than the structure, which changes the program too.
    """
    found: list[tuple[bool, float, str]] = []
    for name in (*_BUFFERS, *_STRUCTURE):
        value = getattr(config, name)
        for smaller in _smaller(value):
            try:
                changed = replace(config, **{name: smaller})  # type: ignore[arg-type]  # integers
            except ConfigError:
                continue
            if not shortages(changed, available):
                found.append((name in _STRUCTURE, value / smaller, f"{name} {value} → {smaller}"))
                break
    return min(found)[2] if found else ""


def _smaller(value: int) -> Iterator[int]:
    """Values below `value`, sixteenths of it and then halves, largest first."""
    for part in range(15, 0, -1):
        smaller = value * part // 16
        if 0 < smaller < value:
            yield smaller
    while value > 1:
        value //= 2
        yield value


def as_table(config: AcceleratorConfig) -> list[tuple[str, Use]]:
    """Blocks of a core, then what there is once, then the total: for listings."""
    found = resources(config)
    return [*found.core.items(), *found.once.items(), ("total", found.total)]
