"""What single modules of the RTL take, as Yosys 0.70 counts them for UltraScale+ (docs/synthesis.md).

Each number is that of one module, not a fit of totals.
"""

from __future__ import annotations

from cosyn.accelerator_model.memory_use import Use

# -- units that are the same in every configuration ---------------------------------------------------------------

UNITS = {
    "cosyn_fp_multiply_gated": Use(dsp=2, lut=112, ff=172),
    "cosyn_fp_add_gated": Use(lut=509, ff=147),
    "cosyn_fp_special": Use(dsp=4, lut=1203, ff=617),
    "cosyn_fp_to_int8": Use(lut=67, ff=19),
    "cosyn_fp_from_int32_gated": Use(lut=211, ff=70),
    "cosyn_fp_max": Use(lut=90),
    "cosyn_sfu_lane": Use(lut=33),
    "cosyn_sfu_reduce_lane": Use(lut=294, ff=128),
    "cosyn_sfu_pair": Use(lut=3, ff=37),
    "cosyn_sfu_address": Use(lut=101, ff=50),
    "cosyn_sfu_digest": Use(lut=290, ff=131),
    "cosyn_sfu_fetch": Use(lut=227, ff=68),
    "cosyn_dsp48_pair": Use(dsp=1),
    # Operands of DSP k wait k cycles: registers up to two, 24 shift registers each from there on.
    "cosyn_dsp_segment": Use(lut=121, ff=72),
    "cosyn_matrix_decode": Use(lut=1167, ff=237),
    "cosyn_matrix_engine": Use(lut=528, ff=521),
    "cosyn_word_sequence": Use(lut=148, ff=62),
    "cosyn_store": Use(lut=8, ff=35),
    "cosyn_store_walk": Use(lut=982, ff=358),
    "cosyn_fetch": Use(lut=776, ff=528),
    "cosyn_queue": Use(lut=11, ff=1),
    "cosyn_tokens": Use(lut=1223, ff=588),
    "cosyn_system": Use(lut=8, ff=71),
    # A counter's carry chain takes no look-up table of its own where one bit is added.
    "cosyn_monitor": Use(lut=61, ff=887),
    "cosyn_core": Use(lut=139, ff=46),
}
"""Yosys 0.70 for UltraScale+, in `tiny`."""

# -- look-up tables of modules whose width depends on the configuration: a constant, and what a bit takes ---------

SPARSE_BIT = 4
"""A 16:1 multiplexer: look-up tables of four inputs, which the slice's own multiplexers join."""

SCALED_SUM = Use(dsp=1, lut=8, ff=28 + 28)
"""A 20-bit sum times a byte, which is one of two columns'."""

DEQUANTIZED_BIT = 4.4
"""A bit of a step's two operands: of codes of four widths in up to four places of a word."""

ACTIVATIONS = Use(lut=225, ff=124)
"""Machine and addresses of `cosyn_activation_buffer`."""

CONTROL = Use(lut=1784, ff=2261)
"""Registers and machine of `cosyn_control`; four banks of sixteen runtime registers are most of it."""

CONTROL_CORE = Use(lut=560, ff=40)
"""For each core: 26 counters of 32 bits to choose from, and a program's address."""

EXCHANGE = Use(lut=223, ff=139)
"""Machine and address of `cosyn_exchange`."""

DRAIN = Use(lut=313, ff=227)
"""Machine, addresses and scale of `cosyn_drain`."""

SPECIAL = Use(lut=1191, ff=552)
"""`cosyn_sfu`: the instruction and two of 64 registers."""

SPECIAL_WRITE = Use(dsp=1, lut=273, ff=94)
"""`cosyn_sfu_write`: machine and address; the place of a row in the activation buffer is a product."""

LOAD = Use(dsp=1, lut=1571, ff=620)
"""`cosyn_load`: two of 64 registers, addresses, descriptors; a length times a register is a product."""

HELD_PASSES = 4
"""Results of a tile that wait for the drain (HoldDepth)."""
