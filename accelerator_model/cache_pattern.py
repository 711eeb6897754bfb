"""Which part of the cache attention with a window streams past its queries, and the registers that say so.

The cache is skipped in whole units: tiles of keys, steps of values, stripes of scales, and as many lines as a sum has
partial sums. So every column that is left keeps its lane and its partial sum, and results have the same bits as if
nothing had been skipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES, AcceleratorConfig
from cosyn.accelerator_model.isa.opcode import PatternRegister
from cosyn.accelerator_model.isa.operands import register_number
from cosyn.accelerator_model.numerics.reduce import PARTIALS


def skip_unit(config: AcceleratorConfig) -> int:
    """Positions that are skipped together."""
    words = config.stripe_bytes // VECTOR_ELEMENT_BYTES
    return math.lcm(config.tile_columns, config.chain_length, words, PARTIALS * config.lanes)


@dataclass(frozen=True, slots=True)
class CachePattern:
    """A window of `window` positions after the first `kept`, a multiple of `unit`, which are read whatever they hold.

    `key_tile_stripes`: of a tile of keys; `value_step_stripes`: of a step of values.
    """

    window: int
    kept: int
    unit: int
    key_tile_stripes: int
    value_step_stripes: int

    @staticmethod
    def of(config: AcceleratorConfig, window: int, sinks: int, key_steps: int) -> CachePattern:
        """The pattern of heads whose keys have `key_steps` steps."""
        unit = skip_unit(config)
        step = 2 * config.ring_reads
        return CachePattern(window, -(-sinks // unit) * unit, unit, key_steps * step, step)

    def skipped(self, position: int) -> int:
        """Positions from `kept` on that no token from `position` on sees, in whole units."""
        return max(0, (position - self.window + 1) // self.unit * self.unit - self.kept)

    def columns(self, position: int, tokens: int) -> int:
        """Columns of scores of a step; at least one behind the kept ones."""
        return max(position + tokens, self.kept + 1) - self.skipped(position)

    def most_columns(self, max_seq: int, tokens: int) -> int:
        """Columns of the largest step of `tokens` tokens."""
        return min(max_seq, self.kept + self.window + self.unit + tokens - 2)


def pattern_registers(
    config: AcceleratorConfig, pattern: CachePattern, bank: int, position: int, tokens: int
) -> dict[int, int]:
    """Values of a pattern's bank, by number of the register."""
    skipped, columns = pattern.skipped(position), pattern.columns(position, tokens)
    words = config.stripe_bytes // VECTOR_ELEMENT_BYTES
    values = reach_registers(config, position + 1 - skipped, pattern.kept, columns) | {
        PatternRegister.KEY_SKIP: skipped // config.tile_columns * pattern.key_tile_stripes,
        PatternRegister.VALUE_SKIP: skipped // config.chain_length * pattern.value_step_stripes,
        PatternRegister.SCALE_SKIP: skipped // words,
    }
    return {register_number(register, bank): value for register, value in values.items()}


def reach_registers(config: AcceleratorConfig, valid: int, kept: int, columns: int) -> dict[PatternRegister, int]:
    """What a step reads of the cache: `columns`, `kept` of them before what is skipped; its first token sees
    `valid`.
    """
    words = config.stripe_bytes // VECTOR_ELEMENT_BYTES
    key_tiles, value_steps = -(-columns // config.tile_columns), -(-columns // config.chain_length)
    wide = max(key_tiles * config.tile_columns, value_steps * config.chain_length)
    return {
        PatternRegister.VALID: valid,
        PatternRegister.KEY_TILES: key_tiles,
        PatternRegister.VALUE_STEPS: value_steps,
        PatternRegister.SCORE_COLUMNS: -(-wide // config.lanes) * config.lanes,
        PatternRegister.RUN_KEY_TILES: key_tiles - kept // config.tile_columns,
        PatternRegister.RUN_VALUE_STEPS: value_steps - kept // config.chain_length,
        PatternRegister.RUN_SCALE_STRIPES: -(-columns // words) - kept // words,
    }
