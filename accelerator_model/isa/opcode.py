"""The six instruction classes, in the order of their bits in wait and release masks; and the runtime registers."""

from __future__ import annotations

from enum import IntEnum


class Opcode(IntEnum):
    """An instruction class; each has one in-order queue and one unit."""

    LD = 0
    ST = 1
    MM = 2
    MV = 3
    MISC = 4
    SYS = 5


class Register(IntEnum):
    """Runtime registers: what changes from step to step, written by the host. pos = position of the first token,
    m = tokens in the step, context = pos + m."""

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
