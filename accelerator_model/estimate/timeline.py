"""When each unit of a core is busy: a max-plus recurrence over the operations of a step, for many designs at once.

LD runs ahead of everything until its ring is full; MM and MV wait for their words, their activations and the array;
MISC, ST and SYS run in the order given. Times are cycles from the start of the step; every quantity is an array over
the designs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.estimate.design import Design
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.simulator.timing import TIMING

Numbers = NDArray[np.float64]


@dataclass(slots=True)
class _Pops:
    """When the words of one matrix instruction leave their ring: from `start`, `cycles` a word."""

    before: Numbers
    words: Numbers
    start: Numbers
    cycles: Numbers


@dataclass(slots=True)
class Ring:
    """What has gone into a ring and what has left it, in words."""

    capacity: Numbers
    pushed: Numbers
    pops: list[_Pops] = field(default_factory=list)
    oldest: int = 0

    def earliest_end(self, words: Numbers, cycles: Numbers) -> Numbers:
        """The earliest time that the last of `words` more words is in the ring, given when older ones leave it.

        Word c needs the place of word c - capacity. A matrix instruction that starts late holds back the words a
        ring behind it, which then follow at `cycles` a word, or as slowly as that instruction takes them.
        """
        end = np.zeros_like(self.pushed)
        last = self.pushed + words
        for number in range(self.oldest, len(self.pops)):
            pop = self.pops[number]
            behind = last - self.capacity - pop.before
            slow = np.clip(behind, 0.0, pop.words)
            rest = np.maximum(behind - pop.words, 0.0)
            held = pop.start + slow * np.maximum(cycles, pop.cycles) + rest * cycles
            end = np.maximum(end, np.where(behind > 0, held, 0.0))
        while self.oldest < len(self.pops) and np.all(
            self.pops[self.oldest].before + self.pops[self.oldest].words + self.capacity <= self.pushed
        ):
            self.oldest += 1
        return end


@dataclass(slots=True)
class Loaded:
    """Words that a matrix instruction will take: when the first and the last of them are in the ring."""

    first: Numbers
    last: Numbers
    words: Numbers


class Timeline:
    """The units of one core. `busy` counts cycles of work per class, `loaded_stripes` and `moved` what memory did."""

    def __init__(self, design: Design, beat_cycles: Numbers) -> None:
        shape = np.broadcast(design.cores, beat_cycles).shape
        zero = np.zeros(shape)
        self.design = design
        self.beat_cycles = beat_cycles
        self.weights = Ring(np.broadcast_to(design.weight_ring_words, shape), zero.copy())
        self.cache = Ring(np.broadcast_to(design.kv_ring_words, shape), zero.copy())
        self.memory, self.array, self.misc, self.store, self.system, self.written = (zero.copy() for _ in range(6))
        self.busy = {opcode: zero.copy() for opcode in Opcode}
        self.work = {opcode: zero.copy() for opcode in Opcode}
        self.terms: dict[str, Numbers] = {}
        self.loaded_stripes = zero.copy()

    def count(self, term: str, cycles: Any) -> None:
        """Add to a named term of the report."""
        self.terms[term] = self.terms.get(term, 0.0) + np.broadcast_to(cycles, self.memory.shape)

    def occupy_memory(self, term: str, cycles: Any, after: Any = 0.0) -> Numbers:
        """The memory does `cycles` of something, no earlier than `after`; returns when it is done."""
        self.memory = np.maximum(self.memory, after) + cycles
        self.count(term, cycles)
        return self.memory

    def load_vector(self, stripes: Any, row_miss: Any) -> Numbers:
        """Stripes for the vector buffer; returns when they are there."""
        design = self.design
        stripes = np.broadcast_to(np.asarray(stripes, float), self.memory.shape)
        cycles = np.where(stripes > 0, stripes * self.beat_cycles + row_miss, 0.0)
        arrived = self.memory + design.memory_read_latency_cycles + TIMING.load_stripe + TIMING.load_parameter
        self.written = np.maximum(self.written, arrived + row_miss) + stripes * design.stripe_lines
        # The vector buffer takes a line a cycle; what waits for it fills the FIFO, then the channels' own.
        slack = design.parameter_fifo_stripes * design.stripe_lines + design.outstanding_bursts * design.burst_beats
        begin, self.memory = self.memory, np.maximum(self.memory + cycles, self.written - slack)
        self.loaded_stripes = self.loaded_stripes + stripes
        self.work[Opcode.LD] = self.work[Opcode.LD] + cycles
        self.busy[Opcode.LD] = self.busy[Opcode.LD] + cycles
        self.count("parameters", cycles)
        self.count("vector buffer full", self.memory - begin - cycles)
        return self.written

    def load(
        self, ring: Ring, term: str, words: Any, row_miss: Any, after: Any = 0.0, consumer: _Pops | None = None
    ) -> Loaded:
        """Words for a ring, after everything that was loaded before and no earlier than `after`."""
        words = np.broadcast_to(np.asarray(words, float), self.memory.shape)
        per_word = self.design.ring_reads * self.beat_cycles
        begin = np.maximum(self.memory, after)
        cycles = np.where(words > 0, words * per_word + row_miss, 0.0)
        if consumer is not None:
            ring.pops.append(consumer)
        free = ring.earliest_end(words, per_word)
        if consumer is not None:
            ring.pops.pop()
        latency = self.design.memory_read_latency_cycles
        self.memory = np.where(words > 0, np.maximum(begin + cycles, free), self.memory)
        ring.pushed = ring.pushed + words
        self.loaded_stripes = self.loaded_stripes + words * self.design.ring_reads
        self.work[Opcode.LD] = self.work[Opcode.LD] + cycles
        self.busy[Opcode.LD] = self.busy[Opcode.LD] + cycles
        self.count(term, words * per_word)
        self.count("row misses", np.where(words > 0, row_miss, 0.0))
        first = begin + row_miss + latency + self.design.ring_reads
        return Loaded(first, self.memory + latency + TIMING.load_stripe, words)

    def stream(
        self, unit: Opcode, term: str, words: Any, cycles: Any, fill: Any, ready: Any, row_miss: Any,
        prefetched: Loaded | None = None,
    ) -> Numbers:  # fmt: skip
        """Load a matrix, less what of it was `prefetched`, and multiply by it, overlapped; when that is done."""
        ring = self.weights
        words = np.broadcast_to(np.asarray(words, float), self.memory.shape)
        left = words if prefetched is None else words - prefetched.words
        # Loads may be full of what comes later: the rest of this matrix begins when the memory is free.
        first = self.memory + row_miss + self.design.memory_read_latency_cycles + self.design.ring_reads
        if prefetched is not None:
            first = np.where(prefetched.words > 0, prefetched.first, first)
        start = np.maximum(np.maximum(self.array, ready), first) + TIMING.array_start
        pace = np.where(words > 0, cycles / np.maximum(words, 1.0), 0.0)
        before = ring.pops[-1].before + ring.pops[-1].words if ring.pops else np.zeros_like(self.memory)
        consumer = _Pops(before, words, start, pace)
        loaded = self.load(ring, term, left, np.where(left > 0, row_miss, 0.0), consumer=consumer)
        last = loaded.last if prefetched is None else np.where(left > 0, loaded.last, prefetched.last)
        return self._run(unit, ring, Loaded(first, last, words), start, cycles, fill)

    def _run(self, unit: Opcode, ring: Ring, loaded: Loaded, start: Numbers, cycles: Any, fill: Any) -> Numbers:
        pace = np.where(loaded.words > 0, cycles / np.maximum(loaded.words, 1.0), 0.0)
        before = ring.pops[-1].before + ring.pops[-1].words if ring.pops else np.zeros_like(self.memory)
        ring.pops.append(_Pops(before, loaded.words, start, pace))
        # The last words can be used at the pace of the array only after they have arrived.
        end = np.maximum(start + cycles, loaded.last + TIMING.ring + pace)
        # The engine has one instruction at a time, to its last write.
        self.array = end + fill
        self.busy[unit] = self.busy[unit] + self.array - start + TIMING.array_start
        self.work[unit] = self.work[unit] + cycles
        return self.array

    def special(self, cycles: Any, ready: Any) -> Numbers:
        """Passes of the special-function unit, one after the other; returns when the last result is written."""
        self.misc = np.maximum(self.misc, ready) + cycles
        self.busy[Opcode.MISC] = self.busy[Opcode.MISC] + cycles
        return self.misc

    def exchange(self, cycles: Any, ready: Any) -> Numbers:
        """Slices go round the cores; returns when all have all."""
        self.system = np.maximum(self.system, ready) + cycles
        self.busy[Opcode.SYS] = self.busy[Opcode.SYS] + cycles
        return self.system
