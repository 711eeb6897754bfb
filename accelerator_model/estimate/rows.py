"""Norms, quantization, elementwise operations and rotary embedding: passes of the special-function unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.estimate.design import ceil_div
from cosyn.accelerator_model.estimate.operations import Operation
from cosyn.accelerator_model.estimate.passes import pass_cycles
from cosyn.accelerator_model.estimate.walk import Walk, by_heads, gather, rows_of, special


def norm(walk: Walk, item: Operation) -> None:
    rows = rows_of(walk, item)
    gather(walk, item.width, rows)
    make = sequences.rms_norm if item.form == "rms" else sequences.layer_norm
    maximum = sequences.renamed(sequences.quantize_rows()[:1], {"x": "y"})
    passes = sequences.join(make(item.width, 1e-5), maximum)
    special(walk, passes, rows, item.width)
    walk.maximum, walk.elementwise = True, False


def quantize(walk: Walk, rows: Any, columns: Any) -> None:
    """INT8 codes of a linear's input; where the pass before found the maxima, one pass less."""
    passes = sequences.quantize_rows()
    alone, elements = pass_cycles(passes, rows, columns, walk.design)
    joined, fewer = pass_cycles(passes[1:], rows, columns, walk.design)
    found = np.where(walk.elementwise, walk.design.cores == 1, walk.maximum)
    walk.ready = walk.line.special(np.where(found, joined, alone), walk.ready)
    walk.special_elements = walk.special_elements + np.where(found, fewer, elements)


def elementwise(walk: Walk, item: Operation) -> None:
    if item.form in sequences.UNARY:
        passes = sequences.UNARY[item.form]()
    elif item.operands < 2:
        passes = sequences.with_number(item.form, 1.0)
    else:
        passes = sequences.BINARY[item.form]()
    width = ceil_div(item.width, walk.design.cores) if walk.sliced else item.width
    rows = rows_of(walk, item)
    cycles, elements = pass_cycles(passes, rows, width, walk.design)
    if walk.before_linear:
        maximum = sequences.renamed(sequences.quantize_rows()[:1], {"x": passes[-1].destination or ""})
        joined, _ = pass_cycles(sequences.join(passes, maximum), rows, width, walk.design)
        cycles = np.where(walk.design.cores == 1, joined, cycles)
    walk.ready = walk.line.special(cycles, walk.ready)
    walk.special_elements = walk.special_elements + elements
    walk.maximum, walk.elementwise = False, walk.before_linear


def rope(walk: Walk, item: Operation) -> None:
    design = walk.design
    by_heads(walk, sequences.rotary(), ceil_div(item.heads, design.cores), item.width // 2)
