"""Cycles of one step of a model: its operations walked in order on a `Timeline`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate.attention import append, attend
from cosyn.accelerator_model.estimate.design import Design, ceil_div
from cosyn.accelerator_model.estimate.linear import linear, prefetch
from cosyn.accelerator_model.estimate.memory import beat_cycles
from cosyn.accelerator_model.estimate.operations import Kind, Operation
from cosyn.accelerator_model.estimate.rows import elementwise, norm, rope
from cosyn.accelerator_model.estimate.timeline import Timeline
from cosyn.accelerator_model.estimate.walk import OperationCycles, Walk
from cosyn.accelerator_model.estimate.weight_form import WeightForms
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.simulator.timing import TIMING

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """A step of `tokens` tokens after `position`: cycles, and the named terms of the memory's time.

    `busy`: cycles between start and retirement by class, as the simulator counts them; `work`: those of LD and of
    the array in which a word moves when nothing stalls.
    `stripes` are the stripes that one core loads; `weight_stripes` and `cache_stripes` the parts of them that are
    weights and cached keys and values, with their scales. `macs` counts products of weights and of attention.
    """

    tokens: int
    position: int
    cycles: Numbers
    busy: dict[Opcode, Numbers]
    work: dict[Opcode, Numbers]
    terms: dict[str, Numbers]
    operations: tuple[OperationCycles, ...]
    stripes: Numbers
    weight_stripes: Numbers
    cache_stripes: Numbers
    macs: Numbers
    special_elements: Numbers

    def seconds(self, design: Design) -> Numbers:
        """Time of the step."""
        result: Numbers = self.cycles / design.clock_hz
        return result

    def memory_share(self, design: Design) -> Numbers:
        """Weight and KV bytes over time and peak bandwidth: definition (a) of the published comparisons."""
        result: Numbers = (self.weight_stripes + self.cache_stripes) / self.cycles
        return result


def estimate_step(
    items: Sequence[Operation],
    design: Design,
    form: WeightForms | None = None,
    *,
    tokens: int,
    position: int,
) -> StepEstimate:
    """The step of `tokens` tokens whose first is at `position`, for every design and weight form (broadcast).

    `form` None: as each operation's own weights are stored. ConfigError when `tokens` or `position` cannot be, or
    when a linear has no form.
    """
    if tokens < 1 or position < 0:
        raise ConfigError(f"a step has at least one token at a position of at least 0, found {tokens} at {position}")
    line = Timeline(design, beat_cycles(design) + (0 if form is None else 0 * form.bits))
    walk = Walk(design, form, tokens, position, line, np.zeros_like(line.memory))
    walk.blocks = _parameter_blocks(items, design)
    line.memory = line.memory + start_cycles(design)
    walk.ready = line.load_vector(_input_stripes(items, design, tokens), design.memory_row_miss_cycles)
    for _ in range(2):
        _load_block(walk)
    for number, item in enumerate(items):
        walk.before_linear = number + 1 < len(items) and items[number + 1].kind == "linear"
        if item.kind == "attend":
            prefetch(walk, items[number + 1 :])
        _STEPS[item.kind](walk, item)
        if item.kind == "attend":
            _load_block(walk)
        walk.ends.append(OperationCycles(item, walk.ready, dict(line.busy), dict(line.work)))
    walk.ready = _store_logits(walk, items[-1])
    return StepEstimate(
        tokens, position, walk.ready + TIMING.system + TIMING.token,
        dict(line.busy), dict(line.work), dict(line.terms), tuple(walk.ends),
        line.loaded_stripes, walk.weight_stripes, walk.cache_stripes, walk.macs, walk.special_elements,
    )  # fmt: skip


def start_cycles(design: Design) -> Numbers:
    """From the start to the first read: the first instruction is fetched, behind a refresh."""
    fetch = TIMING.fetch_request + TIMING.fetch_beats + TIMING.fetch_dispatch + TIMING.queue + TIMING.load_request
    result: Numbers = design.memory_refresh_cycles + design.memory_row_miss_cycles + fetch
    return result + design.memory_read_latency_cycles


def _input_stripes(items: Sequence[Operation], design: Design, tokens: int) -> Numbers:
    """What the host has written: the embeddings, and the rotary rows of the step's positions."""
    rope = next((i for i in items if i.kind == "rope"), None)
    turned = ceil_div(rope.width * VECTOR_ELEMENT_BYTES, design.stripe_bytes) if rope else 0.0
    result: Numbers = tokens * (ceil_div(items[0].width * VECTOR_ELEMENT_BYTES, design.stripe_bytes) + turned)
    return result


def _parameter_blocks(items: Sequence[Operation], design: Design) -> list[Any]:
    """Stripes of norm weights, biases and row scales, by segment of the model: each ends with an attention."""
    blocks: list[Any] = [0.0]
    for item in items:
        if item.kind == "norm":
            vectors = 1 if item.form == "rms" else 2
            blocks[-1] = blocks[-1] + vectors * ceil_div(item.width * VECTOR_ELEMENT_BYTES, design.stripe_bytes)
        elif item.kind == "linear":
            columns = ceil_div(item.outputs, design.cores)
            padded = ceil_div(columns, design.tile_columns) * design.tile_columns
            count = padded + (columns if item.bias else 0.0)
            blocks[-1] = blocks[-1] + ceil_div(count * VECTOR_ELEMENT_BYTES, design.stripe_bytes)
        elif item.kind == "attend":
            blocks.append(0.0)
    return blocks


def _load_block(walk: Walk) -> None:
    """Parameters come a segment ahead of their use."""
    if walk.blocks:
        walk.line.load_vector(walk.blocks.pop(0), walk.design.memory_row_miss_cycles)


def _store_logits(walk: Walk, head: Operation) -> Numbers:
    design = walk.design
    stripes = ceil_div(ceil_div(head.outputs or head.width, design.cores) * VECTOR_ELEMENT_BYTES, design.stripe_bytes)
    cycles = stripes * walk.line.beat_cycles + design.memory_turnaround_cycles + design.memory_row_miss_cycles
    walk.line.busy[Opcode.ST] = walk.line.busy[Opcode.ST] + cycles
    done = walk.line.occupy_memory("logits", cycles, walk.ready)
    return done + design.memory_write_latency_cycles


_STEPS: dict[Kind, Callable[[Walk, Operation], None]] = {
    "norm": norm,
    "linear": linear,
    "rope": rope,
    "append": append,
    "attend": attend,
    "elementwise": elementwise,
}
