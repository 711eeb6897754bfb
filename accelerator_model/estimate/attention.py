"""Attention: the cache is appended to, then streams past the queries like weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES
from cosyn.accelerator_model.estimate.design import ceil_div
from cosyn.accelerator_model.estimate.memory import (
    append_beats,
    read_queue_cycles,
    store_cycles,
    store_tail,
    store_windows,
)
from cosyn.accelerator_model.estimate.operations import Operation
from cosyn.accelerator_model.estimate.passes import pass_cycles
from cosyn.accelerator_model.estimate.walk import Walk, by_heads, drain_cycles, matrix_cycles
from cosyn.accelerator_model.estimate.weight_form import WeightForm, WeightForms, stream
from cosyn.accelerator_model.isa.misc import Output
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.numerics.reduce import PARTIALS
from cosyn.accelerator_model.sequences import Passes

Numbers = NDArray[np.float64]

_CACHE = WeightForms.of(WeightForm(8))
"""Keys and values lie in memory as dense 8-bit tiles."""


def append(walk: Walk, item: Operation) -> None:
    """Keys and values are quantized, then stored while queries are."""
    heads = ceil_div(item.heads, walk.design.cores)
    for width in (item.width, item.value_width):
        by_heads(walk, sequences.quantize_rows(), heads, width)
    walk.appended = item
    walk.append_ready = walk.ready


def _store(walk: Walk) -> Numbers:
    """Keys, values and their scales go to memory, a store for each head; when the last response is there.

    Stores follow one another without waiting for responses, as many bursts as may be open; those queue behind the reads
    in flight while LD still has room.
    """
    design, line, item, ready = walk.design, walk.line, walk.appended, walk.append_ready
    if item is None:
        return np.asarray(ready)
    heads = ceil_div(item.heads, design.cores)
    beats = heads * append_beats(design, walk.tokens, item.width, item.value_width)
    made = heads * store_cycles(design, walk.tokens, item.width, item.value_width)
    idle = np.maximum(made, beats) + store_tail(design)
    windows = store_windows(design, heads, walk.tokens, item.width, item.value_width)
    behind = windows * (read_queue_cycles(design) + design.memory_write_latency_cycles)
    line.occupy_memory("append beats", beats)
    share = np.clip((line.memory - ready) / np.maximum(idle + behind, 1.0), 0.0, 1.0)
    cycles = share * (idle + behind) + (1 - share) * idle
    line.busy[Opcode.ST] = line.busy[Opcode.ST] + cycles
    line.count("appends", cycles)
    done: Numbers = np.maximum(line.store, ready) + cycles
    line.store = done
    return done


def _columns(walk: Walk, item: Operation) -> Numbers:
    """Positions that stream past: a window skips what it hides in whole units, after those that hold its sinks."""
    if not item.window:
        return np.asarray(walk.context, np.float64)
    design = walk.design
    words = design.stripe_bytes // VECTOR_ELEMENT_BYTES
    sizes = (design.tile_columns, design.chain_length, words, PARTIALS * design.lanes)
    unit = np.lcm.reduce(np.broadcast_arrays(*(np.asarray(size).astype(np.int64) for size in sizes)))
    kept = ceil_div(item.sinks, unit) * unit
    skipped = np.maximum(0, (walk.position - item.window + 1) // unit * unit - kept)
    columns: Numbers = np.maximum(walk.context, np.where(kept > 0, kept + 1, 0.0)) - skipped
    return columns


def attend(walk: Walk, item: Operation) -> None:
    """Heads one after the other: scores, softmax, values; the array works on one head while another's softmax runs."""
    design, line = walk.design, walk.line
    heads = ceil_div(item.heads, design.cores)
    cached = ceil_div(item.kv_heads, design.cores)
    shared = np.minimum(item.heads // item.kv_heads, heads)
    rows = shared * walk.tokens
    seen = _columns(walk, item)
    in_tiles = ceil_div(seen, design.tile_columns) * design.tile_columns
    columns = np.maximum(in_tiles, ceil_div(seen, design.chain_length) * design.chain_length)
    by_heads(walk, sequences.quantize_rows(), heads, item.width)

    keys = stream(design, _CACHE, item.width, seen)
    values = stream(design, _CACHE, seen, item.value_width)
    key_cycles, value_cycles = (matrix_cycles(walk, made, rows)[1] for made in (keys, values))
    unit = Opcode.MV if walk.tokens * item.heads == item.kv_heads else Opcode.MM
    words = cached * (keys.total_words + values.total_words)
    stored = _store(walk)
    scales = 2 * cached * ceil_div(in_tiles * VECTOR_ELEMENT_BYTES, design.stripe_bytes)
    line.memory = np.maximum(line.memory, stored)
    line.load_vector(scales, 2 * cached * design.memory_row_miss_cycles)
    loaded = line.load(line.cache, "keys and values", words, 2 * design.memory_row_miss_cycles * cached)
    passes = sequences.softmax_codes(1.0, softcap=1.0 if "softcap" in item.form else None, alibi="alibi" in item.form)
    softmax, elements = _softmax_cycles(walk, passes, shared, columns, "alibi" in item.form)
    drain = drain_cycles(design, rows)
    if item.sinks:
        # Column tiles of values come in two runs each, and are multiplied one by one.
        value_cycles = value_cycles + (values.tiles - 1) * drain
    score, mix = key_cycles + drain, value_cycles + drain
    pace = np.maximum(np.maximum(key_cycles + value_cycles, softmax), loaded.words / np.maximum(cached, 1))
    move, _ = _move_cycles(walk, shared, item.value_width)
    # A move waits for the values, and the next head's softmax for the move: MISC runs in order.
    period = np.maximum(pace, softmax + np.where(move > 0, mix + move, 0.0))
    total = (cached - 1) * period + score + softmax + mix + move
    start = np.maximum(np.maximum(np.maximum(walk.ready, loaded.first), line.array), stored)
    end = np.maximum(start + total, loaded.last + mix + move)
    line.cache.pushed = line.cache.pushed * 0
    line.array = end - move
    line.misc = end - np.where(move > 0, 0.0, mix)
    line.busy[unit] = line.busy[unit] + cached * (score + mix)
    line.work[unit] = line.work[unit] + cached * (key_cycles + value_cycles)
    line.busy[Opcode.MISC] = line.busy[Opcode.MISC] + cached * (softmax + move)
    walk.special_elements = walk.special_elements + cached * elements
    walk.cache_stripes = walk.cache_stripes + words * design.ring_reads
    walk.macs = walk.macs + walk.tokens * item.heads * seen * (item.width + item.value_width)
    walk.ready, walk.sliced, walk.maximum, walk.elementwise = end, True, False, False


def _softmax_cycles(walk: Walk, passes: Passes, shared: Any, columns: Numbers, alibi: bool) -> tuple[Numbers, Numbers]:
    """The rows of one pass are heads of one token or tokens of one head: a mask and a slope know no other rows."""
    if walk.tokens == 1 and not alibi:
        return pass_cycles(passes, shared, columns, walk.design)
    cycles, elements = pass_cycles(tuple(p for p in passes if not p.over_rows), walk.tokens, columns, walk.design)
    scalars, few = pass_cycles(tuple(p for p in passes if p.over_rows), shared * walk.tokens, columns, walk.design)
    return shared * cycles + scalars, shared * elements + few


_MOVE = (sequences.Pass(role="move", a=sequences.PerRow("x"), output=Output.VECTOR, destination="y"),)


def _move_cycles(walk: Walk, shared: Any, width: int) -> tuple[Numbers, Numbers]:
    """Heads that share keys and values come out of the array side by side, except where a head is whole tiles."""
    design = walk.design
    if walk.tokens == 1:
        cycles, elements = pass_cycles(_MOVE, shared, width, design)
        moves = (shared > 1) & (width % design.tile_columns > 0)
    else:
        cycles, elements = pass_cycles(_MOVE, walk.tokens, width, design)
        cycles, elements = shared * cycles, shared * elements
        moves = shared > 1
    return np.where(moves, cycles, 0.0), np.where(moves, elements, 0.0)
