"""What each module of the RTL takes, without the modules below it, and how often a core has it.

Flip-flops are the registers of the source. Look-up tables are bits times what synthesis takes for one bit of such a
thing (a multiplexer, an adder, a gate), plus what is the same in every configuration (`unit_use`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cosyn.accelerator_model.config import INSTRUCTION_BYTES, AcceleratorConfig
from cosyn.accelerator_model.memory_use import (
    Use,
    address_bits,
    delay,
    fifo,
    fifo_ram,
    gates,
    lutram,
    multiplexer,
    ram,
)
from cosyn.accelerator_model.unit_use import (
    ACTIVATIONS,
    CONTROL,
    CONTROL_CORE,
    DEQUANTIZED_BIT,
    DRAIN,
    EXCHANGE,
    HELD_PASSES,
    LOAD,
    SCALED_SUM,
    SPARSE_BIT,
    SPECIAL,
    SPECIAL_WRITE,
    UNITS,
)


@dataclass(frozen=True, slots=True)
class Part:
    """`count` instances of a module in one core, or in the accelerator."""

    block: str
    module: str
    count: int
    each: Use


_LOAD_FLIGHT = _STORE_FLIGHT = 16
_OTHER_FLIGHT = 2
_INSTRUCTION = 8 * INSTRUCTION_BYTES


def core_parts(config: AcceleratorConfig) -> Iterator[Part]:
    """Modules of one core."""
    yield from _array(config)
    yield from _matrix_words(config)
    yield from _matrix_results(config)
    yield from _vector(config)
    yield from _special(config)
    yield from _load(config)
    yield from _store(config)
    yield from _queues(config)


def shared_parts(config: AcceleratorConfig) -> Iterator[Part]:
    """Modules that are there once."""
    cores, line = config.cores, 8 * config.line_bytes
    control = CONTROL + CONTROL_CORE.times(cores)
    address = address_bits(config.vector_lines)
    # A line is chosen from the cores', and waits with its address.
    exchange = EXCHANGE + Use(lut=line * multiplexer(cores) + address, ff=line + address)
    yield Part("control and exchange", "cosyn_control", 1, control)
    yield Part("control and exchange", "cosyn_exchange", 1, exchange)


def _unit(block: str, module: str, count: int) -> Part:
    return Part(block, module, count, UNITS[module])


def _array(config: AcceleratorConfig) -> Iterator[Part]:
    """Chains and what feeds them."""
    k, chains, replicas = config.chain_length, config.chains, config.token_replicas
    columns, line = config.tile_columns, 8 * config.line_bytes
    segments = k // 8
    yield _unit("chains", "cosyn_dsp48_pair", config.dsps_per_core)
    yield _unit("chains", "cosyn_dsp_segment", config.dsps_per_core // 8)
    # In the first replica each of the three operands is one of two by the mode; the node adds the segments' fields.
    field = 18 + (segments - 1).bit_length()
    node = Use(lut=2 * field * (segments - 1), ff=24 * k + 2 * field)
    yield Part("chains", "cosyn_dsp_chain", chains, node + Use(lut=24 * k))
    yield Part("chains", "cosyn_dsp_chain", chains * (replicas - 1), node)
    index = 4 * k * chains if config.kept else 0
    lines = line * multiplexer(replicas) if replicas > 1 else 0
    yield Part("chains", "cosyn_matrix_array", 1, Use(lut=11 + index + lines, ff=19))
    yield Part("chains", "cosyn_delay", 1, delay(8 * columns, 13))
    if config.kept:
        each = Use(lut=SPARSE_BIT * 8)
        yield Part("sparse multiplexers", "cosyn_mux16", 2 * k * chains * replicas, each)


def _matrix_words(config: AcceleratorConfig) -> Iterator[Part]:
    """Words of the rings, and steps of them."""
    word, stripe, columns = 8 * config.word_bytes, 8 * config.stripe_bytes, config.tile_columns
    depth = config.weight_ring_words + config.kv_ring_words
    memory = ram(stripe, depth, ultra=depth >= 2048)
    address = address_bits(depth)
    # Six addresses and four counters, each an adder, and half of them a comparison or another source too.
    state = 6 * address + 4 * (address + 1)
    parts = address_bits(config.ring_reads)
    yield Part("weight rings", "cosyn_weight_ring", 1, Use(lut=1.5 * state, ff=state + 2 * parts + 6))
    yield Part("weight rings", "cosyn_ram_1r1w", config.ring_reads, memory)
    yield _unit("dequantizer", "cosyn_word_sequence", 1)
    # A bit of two operands is chosen from codes of four widths in two or four places; indices from two halves; scales
    # from the groups of a word.
    lut = DEQUANTIZED_BIT * word + word // 2 + 8 * columns * (multiplexer(config.scale_groups_per_word) + 1)
    ff = 6 * word + 16 * columns + 64
    yield Part("dequantizer", "cosyn_dequantizer", 1, Use(lut=lut, ff=ff))
    yield Part("dequantizer", "cosyn_group_scale", config.token_replicas, SCALED_SUM.times(columns))
    yield _unit("dequantizer", "cosyn_matrix_decode", 1)
    yield _unit("dequantizer", "cosyn_matrix_engine", 1)
    yield from _activations(config)


def _activations(config: AcceleratorConfig) -> Iterator[Part]:
    banks, line = config.token_group, 8 * config.activation_line_bytes
    ultra = config.activation_lines >= 4096
    bank = ram(line, config.activation_lines, ultra=ultra, part=8 * config.lanes)
    yield Part("activation buffer", "cosyn_ram_1r1w", banks, bank)
    # Two choices of one bank's line, for ST and for MV, and in MV the other banks' lines do not count.
    lines = 2 * line * gates(2 * banks - 1) + (banks - 1) * line
    # A bit of a window is one of the places of every sparsity, by the sparsity and the step in the line, or stays.
    window = 0
    if config.kept:
        places = sum(config.activation_line_bytes // config.window(kept) for kept in config.kept)
        steps = config.activation_line_bytes // config.chain_length
        window = banks * line * gates(places + 1 + 2 + address_bits(steps) - 1)
    queue = lutram(banks * line, 4) + lutram(4, 4)
    own = ACTIVATIONS + Use(lut=lines + window + queue, ff=banks * (line + 1))
    yield Part("activation buffer", "cosyn_activation_buffer", 1, own)


def _matrix_results(config: AcceleratorConfig) -> Iterator[Part]:
    """Accumulators and drain."""
    sums, line, lanes = 64 * config.chains, 8 * config.line_bytes, config.lanes
    lines = config.tile_columns // lanes
    # Even and odd columns' adders, and the choice of what is kept; reading chooses a line of one of two tokens.
    lut = 3 * sums + line * multiplexer(2 * lines) + 2 * lutram(sums, HELD_PASSES)
    each = Use(lut=lut, ff=2 * sums + line)
    yield Part("accumulators and drain", "cosyn_accumulator", config.token_replicas, each)
    address = address_bits(config.vector_lines)
    drain = DRAIN + Use(lut=64 * multiplexer(lanes) + address, ff=line)
    yield Part("accumulators and drain", "cosyn_drain", 1, drain)
    yield Part("accumulators and drain", "cosyn_fifo", 1, fifo(line + address + 2, 16))
    yield _unit("accumulators and drain", "cosyn_fp_from_int32_gated", lanes)
    yield _unit("accumulators and drain", "cosyn_fp_multiply_gated", 2 * lanes)


def _vector(config: AcceleratorConfig) -> Iterator[Part]:
    line, lanes, address = 8 * config.line_bytes, config.lanes, address_bits(config.vector_lines)
    # Two copies for two reads a cycle, two lanes in each memory.
    pair = ram(64, config.vector_lines, ultra=config.vector_lines >= 4096, part=32)
    yield Part("vector buffer", "cosyn_ram_1r1w", lanes // 2 * 2, pair)
    # Four writers, the first of them that asks: a bit is gated by each one's grant.
    written = line + lanes + address
    yield Part("vector buffer", "cosyn_vector_buffer", 1, Use(lut=4 * written + address, ff=written + 8))


def _special(config: AcceleratorConfig) -> Iterator[Part]:
    """The special-function unit."""
    block = "special functions"
    lanes, line = config.lanes, 8 * config.line_bytes
    levels = lanes.bit_length() - 1
    yield Part(block, "cosyn_sfu", 1, SPECIAL + Use(lut=line + 32 * multiplexer(lanes), ff=line))
    yield _unit(block, "cosyn_sfu_fetch", 1)
    yield _unit(block, "cosyn_sfu_address", 6)
    yield _unit(block, "cosyn_sfu_digest", 1)
    yield Part(block, "cosyn_sfu_operand", 3, Use(lut=line + 1, ff=line))
    yield Part(block, "cosyn_delay_line", 1, delay(line, 16))
    yield Part(block, "cosyn_sfu_mask", 1, Use(lut=334 + 4 * lanes, ff=173))
    yield _unit(block, "cosyn_sfu_lane", lanes)
    yield _unit(block, "cosyn_fp_multiply_gated", 3 * lanes)
    yield _unit(block, "cosyn_fp_add_gated", 2 * lanes + 3 + levels)
    yield _unit(block, "cosyn_fp_special", lanes)
    yield _unit(block, "cosyn_fp_max", lanes + 1)
    yield _unit(block, "cosyn_sfu_reduce_lane", lanes)
    # Partials that a short row does not reach are masked; the joint tree takes a lane a cycle from a shift register.
    yield Part(block, "cosyn_sfu_reduce", 1, Use(lut=128 * lanes + 7, ff=3 * lanes + 35))
    yield Part(block, "cosyn_sfu_join", 1, Use(lut=128 * (lanes - 1) + 76, ff=128 * lanes + 45))
    yield _unit(block, "cosyn_sfu_pair", levels)
    yield Part(block, "cosyn_sfu_write", 1, SPECIAL_WRITE + Use(lut=line))
    yield _unit(block, "cosyn_fp_to_int8", lanes)
    yield _fold(block, 32 * lanes)
    yield _fold(block, 8 * lanes)
    yield Part(block, "cosyn_fifo", 1, fifo(line, 32))
    yield Part(block, "cosyn_fifo", 1, fifo(32, 16))


def _fold(block: str, bits: int) -> Part:
    """The exclusive or of a vector's words; synthesis makes it of gates with four inputs."""
    return Part(block, "cosyn_fold", 1, Use(lut=32 * multiplexer(bits // 32)))


def _load(config: AcceleratorConfig) -> Iterator[Part]:
    stripe, line, channels = 8 * config.stripe_bytes, 8 * config.line_bytes, config.channels_per_core
    beats = config.outstanding_bursts * config.burst_beats
    own = LOAD + Use(lut=line * multiplexer(config.stripe_lines), ff=stripe)
    yield Part("load", "cosyn_load", 1, own)
    counters = beats.bit_length() + config.outstanding_bursts.bit_length()
    yield Part("load", "cosyn_axi_read", channels, Use(lut=20 + 1.75 * counters, ff=50 + counters))
    yield Part("load", "cosyn_fifo_ram", channels, fifo_ram(8 * config.channel_bytes, beats))
    yield Part("load", "cosyn_fifo", channels, fifo(49, 4))
    yield Part("load", "cosyn_fifo", 1, fifo(115, _LOAD_FLIGHT))
    yield Part("load", "cosyn_fifo", 1, fifo(33, _LOAD_FLIGHT))
    yield Part("load", "cosyn_fifo_ram", 1, fifo_ram(25 + stripe, config.parameter_fifo_stripes))
    yield _fold("load", stripe)


def _store(config: AcceleratorConfig) -> Iterator[Part]:
    block = "store"
    stripe, line, channels = 8 * config.stripe_bytes, 8 * config.line_bytes, config.channels_per_core
    activation, step, tile = 8 * config.activation_line_bytes, 8 * config.chain_length, 8 * config.tile_columns
    granule = 8 * min(config.chain_length, config.lanes)
    yield _unit(block, "cosyn_store", 1)
    yield _unit(block, "cosyn_store_walk", 1)
    # A stripe of vector lines; a bit is the line that comes or what is there.
    yield Part(block, "cosyn_store_lines", 1, Use(lut=stripe + 90, ff=stripe + 58))
    # The line that is held, a step, granule or word of it, and the tile that is gathered.
    chosen = (
        step * multiplexer(activation // step)
        + granule * multiplexer(activation // granule)
        + 32 * multiplexer(line // 32)
    )
    yield Part(block, "cosyn_store_source", 1, Use(lut=chosen, ff=activation + tile + line))
    # A bit of a stripe is from lines, a step, a tile or a word, with a strobe for eight of them; then its address.
    beat = stripe + stripe // 8 + stripe // config.chain_length + 200
    yield Part(block, "cosyn_store_beat", 1, Use(lut=beat))
    yield Part(block, "cosyn_store_write", 1, Use(lut=79 + stripe, ff=107 + stripe + stripe // 8))
    yield _fold(block, stripe)
    counters = 2 * config.outstanding_bursts.bit_length()
    yield Part(block, "cosyn_axi_write", channels, Use(lut=13 + 2 * counters, ff=50 + counters))
    depth = 2 * config.burst_beats + 8
    yield Part(block, "cosyn_fifo", channels, fifo(9 * config.channel_bytes + 1, depth))
    yield Part(block, "cosyn_fifo", channels, fifo(49, depth))
    pending = 2 * (depth + config.outstanding_bursts + _STORE_FLIGHT)
    count = pending.bit_length()
    yield Part(block, "cosyn_store_retire", 1, Use(lut=12 + 8 * channels, ff=34 + count + count * channels))
    yield Part(block, "cosyn_fifo", 1, fifo(count + 32, _STORE_FLIGHT))


def _queues(config: AcceleratorConfig) -> Iterator[Part]:
    block = "queues and fetch"
    yield _unit(block, "cosyn_fetch", 1)
    yield Part(block, "cosyn_fifo", 1, fifo(_INSTRUCTION + 2, 8))
    yield _unit(block, "cosyn_queue", 6)
    yield Part(block, "cosyn_fifo", 6, fifo(_INSTRUCTION, config.queue_depth))
    yield Part(block, "cosyn_fifo", 2, fifo(6, _LOAD_FLIGHT))
    yield Part(block, "cosyn_fifo", 4, fifo(6, _OTHER_FLIGHT))
    for module in ("cosyn_tokens", "cosyn_system", "cosyn_monitor", "cosyn_core"):
        yield _unit(block, module, 1)
