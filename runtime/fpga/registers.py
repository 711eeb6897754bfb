"""The control registers that the driver touches (the whole map is registers.md in the artifact), and their values."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping

from cosyn.runtime.fpga.description import Geometry, Pattern, SpanPattern

IDENTITY = int.from_bytes(b"COSY", "big")
ID, HASH_LOW, HASH_HIGH, CONTROL, STATUS, ERROR, ERROR_DETAIL = 0x000, 0x004, 0x008, 0x010, 0x014, 0x018, 0x01C
START, SOFT_RESET = 1 << 0, 1 << 2
DONE, FAILED = 1 << 1, 1 << 2
CYCLES_LOW, CYCLES_HIGH = 0x020, 0x024
_RUNTIME, _CORE, _CORE_STRIDE = 0x040, 0x200, 0x100
_BANK = 4 * 16
"""Bytes of a bank of runtime registers."""

ERRORS = {
    1: "an instruction's CRC does not match: the program is corrupt",
    2: "an instruction has an unknown code: the program is corrupt or for another version",
    3: "a read from memory failed",
    4: "a write to memory failed",
    5: "weights have another checksum than the program expects: memory is corrupt, or another model's",
    6: "a token counter is corrupt",
    7: "a token counter overflowed",
    8: "nothing moved for too long (watchdog)",
    9: "a unit refused an instruction",
    10: "an instruction reaches beyond a buffer",
    11: "the cores met in different instructions",
}
"""Meaning of the codes in ERROR."""


def program_base(core: int) -> int:
    """Offset of the low word of a core's program base."""
    return _CORE + _CORE_STRIDE * core


def step_registers(geometry: Geometry, position: int, tokens: int) -> Mapping[int, int]:
    """Offset → value of the runtime registers for a step of `tokens` tokens from `position` on."""
    g, context = geometry, position + tokens
    key_tiles, value_steps = -(-context // g.tile_columns), -(-context // g.chain_length)
    columns = max(key_tiles * g.tile_columns, value_steps * g.chain_length)
    words = g.stripe_bytes // 4
    values = (
        position + 1,
        key_tiles,
        value_steps,
        -(-columns // g.lanes) * g.lanes,
        position * g.rope_row_stripes,
        position // g.tile_columns,
        position % g.tile_columns,
        position // g.chain_length,
        position % g.chain_length,
        position // words,
        position % words,
        -(-context // words),
    )
    found = {_RUNTIME + 4 * number: value for number, value in enumerate(values, start=1)}
    for bank, pattern in enumerate(g.patterns, start=1):
        if isinstance(pattern, SpanPattern):
            banked = _span_values(g, pattern, position, tokens)
        else:
            banked = _pattern_values(g, pattern, position, tokens)
        found |= {_RUNTIME + _BANK * bank + 4 * number: value for number, value in enumerate(banked, start=1)}
    return found


def _pattern_values(g: Geometry, pattern: Pattern, position: int, tokens: int) -> tuple[int, ...]:
    """The registers of a window's bank, from the first on."""
    skipped = max(0, (position - pattern.window + 1) // pattern.unit * pattern.unit - pattern.kept)
    end = max(position + tokens, pattern.kept + 1) - skipped
    return (
        *_columns(g, position + 1 - skipped, end, pattern.kept),
        skipped // g.tile_columns * pattern.key_tile_stripes,
        skipped // g.chain_length * pattern.value_step_stripes,
        skipped // (g.stripe_bytes // 4),
    )


def _span_values(g: Geometry, pattern: SpanPattern, position: int, tokens: int) -> tuple[int, ...]:
    """The registers of a block mask's bank, from the first on; the program itself says where it reads."""
    span = span_at(pattern.firsts, position)
    skipped = pattern.skipped[span]
    return _columns(g, position + 1 - skipped, position + tokens - skipped, pattern.kept[span])


def _columns(g: Geometry, valid: int, end: int, kept: int) -> tuple[int, ...]:
    """The first seven registers of a bank for `end` columns."""
    words = g.stripe_bytes // 4
    key_tiles, value_steps = -(-end // g.tile_columns), -(-end // g.chain_length)
    columns = max(key_tiles * g.tile_columns, value_steps * g.chain_length)
    return (
        valid,
        key_tiles,
        value_steps,
        -(-columns // g.lanes) * g.lanes,
        key_tiles - kept // g.tile_columns,
        value_steps - kept // g.chain_length,
        -(-end // words) - kept // words,
    )


def span_at(firsts: tuple[int, ...], position: int) -> int:
    """Number of the span that `position` lies in."""
    return bisect(firsts, position) - 1
