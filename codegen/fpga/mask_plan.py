"""What attention with a block mask reads of the cache, span by span, and the penalties that hide the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.cache_pattern import skip_unit
from cosyn.accelerator_model.cache_spans import SpanPattern
from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.sequences import HIDDEN
from cosyn.codegen.fpga.errors import UnsupportedError
from cosyn.codegen.fpga.heads import CoreHeads
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.mask_spans import HeadMask, Span
from cosyn.codegen.fpga.mask_units import Run, Visibility, equally_many, runs_of
from cosyn.codegen.fpga.roles import Attention

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GroupReads:
    """What the heads of one key and value head read in a span.

    `window`, `sinks`: counted in its columns. `vectors` of penalties from stripe `address` of the core's region: none,
    one for all heads, or one for each.
    """

    runs: tuple[Run, ...]
    window: int
    sinks: int
    vectors: int
    address: int


@dataclass(frozen=True, slots=True)
class SpanReads:
    """What an attention reads in a span: `kept` positions before the tail, and from position `tail` on all."""

    kept: int
    tail: int
    most: int
    """Columns at the span's last position."""
    vector_stripes: int
    """Of a vector of penalties."""
    groups: tuple[tuple[GroupReads, ...], ...]
    """By core, then as `CoreHeads.groups`."""

    @property
    def most_vectors(self) -> int:
        return max((g.vectors for core in self.groups for g in core), default=0)


@dataclass(frozen=True)
class MaskPlan:
    """An attention's block mask: what is read in each of the plan's spans."""

    unit: int
    spans: tuple[SpanReads, ...]


class PenaltyTables:
    """The vectors of penalties of every core, each set of them once."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._stripe_bytes = config.stripe_bytes
        self._parts: list[list[F32]] = [[] for _ in range(config.cores)]
        self._places: list[dict[bytes, int]] = [{} for _ in range(config.cores)]
        self.stripes = [0] * config.cores

    def add(self, core: int, vectors: F32) -> int:
        """The first stripe of f32 [vectors, whole stripes]."""
        raw = vectors.tobytes()
        if raw not in self._places[core]:
            self._places[core][raw] = self.stripes[core]
            self._parts[core].append(vectors.reshape(-1))
            self.stripes[core] += len(raw) // self._stripe_bytes
        return self._places[core][raw]

    def words(self, core: int) -> F32:
        """All of a core's."""
        return np.concatenate(self._parts[core])


def load_mask(attention: Attention, load: Callable[[str], NDArray[Any]] | None, max_seq: int) -> HeadMask | None:
    """The mask of an attention, if it hides anything of `max_seq` positions; UnsupportedError if it is too small."""
    block, ref = attention.attrs.mask_block, attention.node.operands[-1]
    if not block:
        return None
    if load is None:
        raise ValueError(f"%{attention.node.name} has the block mask {ref}: the plan needs the values of constants")
    values = load(ref)
    heads = int(attention.node.type.shape[1])
    if values.shape[0] != heads or values.shape[1] * block < max_seq:
        raise UnsupportedError(
            [
                f"%{attention.node.name}: expected a block mask of {heads} heads and at least {-(-max_seq // block)}"
                f" rows of {block} positions for max_seq {max_seq}, found {values.shape[0]} heads and"
                f" {values.shape[1]} rows; give a larger mask or a smaller max_seq"
            ]
        )
    found = HeadMask.of(values, block, max_seq)
    return found if found.hides else None


@dataclass(frozen=True)
class MaskPlanner:
    """One attention's mask on the cores."""

    config: AcceleratorConfig
    cores: tuple[CoreHeads, ...]
    mask: HeadMask
    window: int
    sinks: int
    key_steps: int
    skips: bool
    """Whether columns may be other than positions: not with ALiBi."""

    def plan(self, spans: Sequence[Span], tables: PenaltyTables, *, skip: bool) -> MaskPlan:
        """What is read in each span, everything unless `skip`; `tables` gets the penalties."""
        unit = skip_unit(self.config)
        return MaskPlan(unit, tuple(self._span(span, unit, tables, skip=skip) for span in spans))

    def pattern(self, spans: Sequence[Span]) -> SpanPattern | None:
        """What the registers follow from; None where nothing is skipped."""
        if not self.skips:
            return None
        unit, kept, skipped = skip_unit(self.config), [], []
        for span in spans:
            units, tail = self._units(span, unit)
            count = max((len(u) for core in units for u in core), default=0) * unit
            kept.append(count)
            skipped.append(tail - count)
        return SpanPattern(tuple(s.first for s in spans), tuple(kept), tuple(skipped)) if any(skipped) else None

    def _views(self) -> list[list[Visibility]]:
        return [[Visibility(self.mask, g.q_heads, self.window, self.sinks) for g in c.groups] for c in self.cores]

    def _units(self, span: Span, unit: int) -> tuple[list[list[tuple[int, ...]]], int]:
        """Units that each core's groups read before the tail, as many for each, and the tail's first position."""
        tail = span.first // unit * unit
        wanted = [[v.needed(span, tail, unit) for v in core] for core in self._views()]
        flat = [units for core in wanted for units in core]
        found = equally_many(flat, tail // unit, tail)
        if not self._fits_ring(len(found[0]) * unit + span.last + 1 - tail):
            # A load that waits for room in the ring must leave the multiplication behind it room in the queues.
            found = equally_many(flat, tail // unit, self.config.queue_depth - 1)
        while tail and all(units and units[-1] == tail // unit - 1 for units in found):
            found, tail = [units[:-1] for units in found], tail - unit
        taken = iter(found)
        return [[next(taken) for _ in core] for core in wanted], tail

    def _fits_ring(self, columns: int) -> bool:
        config = self.config
        keys = -(-columns // config.tile_columns) * self.key_steps
        return 2 * max(keys, -(-columns // config.chain_length)) <= config.kv_ring_words

    def _span(self, span: Span, unit: int, tables: PenaltyTables, *, skip: bool) -> SpanReads:
        units: list[list[tuple[int, ...]]] = [[() for _ in core.groups] for core in self.cores]
        tail = 0
        if skip:
            units, tail = self._units(span, unit)
        kept = max((len(u) for core in units for u in core), default=0) * unit
        most = kept + span.last + 1 - tail
        words = round_up(score_columns(self.config, most), self.config.stripe_bytes // 4)
        groups = []
        for core, (views, picked) in enumerate(zip(self._views(), units, strict=True)):
            mine = []
            for view, own in zip(views, picked, strict=True):
                window, sinks = view.columns(span, tail, unit, own) if skip else (self.window, self.sinks)
                vectors = self._penalties(view, span, tail, unit, own, words)
                address = tables.add(core, vectors) if len(vectors) else 0
                mine.append(GroupReads(runs_of(own), window, sinks, len(vectors), address))
            groups.append(tuple(mine))
        return SpanReads(kept, tail, most, words * 4 // self.config.stripe_bytes, tuple(groups))

    def _penalties(self, view: Visibility, span: Span, tail: int, unit: int, own: Sequence[int], words: int) -> F32:
        """Penalties [0, 1 or heads, words] of the columns: none where all heads see all of them."""
        places = np.concatenate([*(np.arange(u * unit, (u + 1) * unit) for u in own), np.arange(tail, span.last + 1)])
        hidden = ~self.mask.seen(span.last)[list(view.heads)][:, places]
        found = np.zeros((len(hidden), words), np.float32)
        found[:, : len(places)] = np.where(hidden, np.float32(HIDDEN), np.float32(0))
        if not hidden.any():
            return found[:0]
        return found[:1] if np.array_equal(hidden, np.broadcast_to(hidden[:1], hidden.shape)) else found


def score_columns(config: AcceleratorConfig, positions: int) -> int:
    """Columns of scores of that many positions: whole tiles of keys, steps of values and lines."""
    tiles, steps = -(-positions // config.tile_columns), -(-positions // config.chain_length)
    return round_up(max(tiles * config.tile_columns, steps * config.chain_length), config.lanes)
