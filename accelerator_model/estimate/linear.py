"""Linears: weights stream past the quantized rows, some of them loaded before the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.config import SPARSITY_BLOCK
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate.design import ceil_div
from cosyn.accelerator_model.estimate.operations import Operation
from cosyn.accelerator_model.estimate.rows import quantize
from cosyn.accelerator_model.estimate.walk import Walk, drain_cycles, gather, matrix_cycles, rows_of, special
from cosyn.accelerator_model.estimate.weight_form import Stream, WeightForms, stream


def linear(walk: Walk, item: Operation) -> None:
    rows, design, line = rows_of(walk, item), walk.design, walk.line
    gather(walk, item.width, rows)
    quantize(walk, rows, item.width)
    made = weight_stream(walk, item)
    unit, cycles = matrix_cycles(walk, made, rows)
    walk.ready = line.stream(
        unit, "weights", made.total_words, cycles, drain_cycles(design, rows), walk.ready,
        design.memory_row_miss_cycles, walk.prefetched.pop(item.name, None),
    )  # fmt: skip
    kept = (walk.form or form_of(item)).kept
    walk.weight_stripes = walk.weight_stripes + made.total_words * design.ring_reads
    walk.macs = walk.macs + rows * item.weights * kept / SPARSITY_BLOCK
    walk.sliced, walk.maximum, walk.elementwise = True, False, False
    if item.bias:
        special(walk, sequences.bias(), rows, ceil_div(item.outputs, design.cores))


def prefetch(walk: Walk, later: Sequence[Operation]) -> None:
    """Half a ring of weights is loaded before the cache, which waits for this step's keys and values."""
    room: Any = walk.design.weight_ring_words // 2
    for item in later:
        if item.kind == "attend":
            return
        if item.kind != "linear":
            continue
        taken = np.minimum(weight_stream(walk, item).total_words, room)
        room = room - taken
        loaded = walk.line.load(
            walk.line.weights, "weights", taken, np.where(taken > 0, walk.design.memory_row_miss_cycles, 0.0)
        )
        walk.prefetched[item.name] = loaded
        if not np.any(room > 0):
            return


def weight_stream(walk: Walk, item: Operation) -> Stream:
    columns = ceil_div(item.outputs, walk.design.cores)
    return stream(walk.design, walk.form or form_of(item), item.width, columns)


def form_of(item: Operation) -> WeightForms:
    if item.stored is None:
        raise ConfigError(f"%{item.name}: its weights are not quantized; use a recipe such as w8a8 or w4a8_g32")
    return WeightForms.of(item.stored)
