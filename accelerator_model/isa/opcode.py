"""The six instruction classes, in the order of their bits in wait and release masks; and the runtime registers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from cosyn.accelerator_model.config import BANK_REGISTERS


class Opcode(IntEnum):
    """An instruction class; each has one in-order queue and one unit."""

    LD = 0
    ST = 1
    MM = 2
    MV = 3
    MISC = 4
    SYS = 5


class Register(IntEnum):
    """Runtime registers of bank 0: what changes from step to step, written by the host. pos = position of the first
    token, m = tokens in the step, context = pos + m."""

    ZERO = 0
    """Reads as "no register": the field's immediate value counts."""
    VALID = 1
    """pos + 1: columns that the step's first token attends to."""
    KEY_TILES = 2
    """ceil(context / tile_columns)."""
    VALUE_STEPS = 3
    """ceil(context / chain_length)."""
    SCORE_COLUMNS = 4
    """max(KEY_TILES * tile_columns, VALUE_STEPS * chain_length) rounded up to lanes."""
    ROPE_OFFSET = 5
    """pos times the stripes of one position's rotary row."""
    KEY_TILE = 6
    """pos // tile_columns."""
    KEY_COLUMN = 7
    """pos % tile_columns."""
    VALUE_STEP = 8
    """pos // chain_length."""
    VALUE_LANE = 9
    """pos % chain_length."""
    SCALE_STRIPE = 10
    """4 pos // stripe_bytes."""
    SCALE_WORD = 11
    """pos % (stripe_bytes / 4)."""
    SCALE_STRIPES = 12
    """ceil(4 context / stripe_bytes)."""
    SPARE_13 = 13
    SPARE_14 = 14
    SPARE_15 = 15


class PatternRegister(IntEnum):
    """Registers of the other banks, one for each pattern of attention that skips part of the cache.

    What is read are the first `kept` positions, which hold the sinks, and those from kept + skipped on, where the
    window begins. A column is a position, less `skipped` behind that gap. end = max(context, kept + 1) - skipped: the
    columns. The first four mean what they mean in bank 0. Under a block mask the program says where the kept positions
    lie and where the last run begins; kept and skipped count what lies before that run, and nothing reads the SKIPs.
    """

    ZERO = 0
    """Reads as "no register": the field's immediate value counts."""
    VALID = 1
    """pos + 1 - skipped: columns up to the step's first token."""
    KEY_TILES = 2
    """ceil(end / tile_columns)."""
    VALUE_STEPS = 3
    """ceil(end / chain_length)."""
    SCORE_COLUMNS = 4
    """max(KEY_TILES * tile_columns, VALUE_STEPS * chain_length) rounded up to lanes."""
    RUN_KEY_TILES = 5
    """KEY_TILES without those of the kept positions."""
    RUN_VALUE_STEPS = 6
    """VALUE_STEPS without those of the kept positions."""
    RUN_SCALE_STRIPES = 7
    """ceil(4 end / stripe_bytes) without those of the kept positions."""
    KEY_SKIP = 8
    """Stripes of the skipped tiles of a head's keys."""
    VALUE_SKIP = 9
    """Stripes of the skipped steps of a column tile of values."""
    SCALE_SKIP = 10
    """4 skipped / stripe_bytes."""
    SPARE_11 = 11
    SPARE_12 = 12
    SPARE_13 = 13
    SPARE_14 = 14
    SPARE_15 = 15


Registers = Mapping[int, int] | Mapping[Register, int]
"""Values by number: bank times registers of a bank, plus Register or PatternRegister."""


def register_name(number: int) -> str:
    """How texts call register `number` of all."""
    bank, register = divmod(number, BANK_REGISTERS)
    return f"{PatternRegister(register).name} of bank {bank}" if bank else Register(register).name
