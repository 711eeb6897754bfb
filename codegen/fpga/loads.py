"""Where loads stand in a program: early enough to keep the memory busy, late enough never to lock a queue.

Loads keep the order in which their data is consumed, but weights that fit the weight ring go before the keys and values
that must wait for this step's own. A load is moved ahead of the computation before its consumer as far as `queue_depth`
loads may wait: one that waits for room in a ring must not keep the instruction that makes room from being fetched.
So a load is emitted early only while fewer than that many are not sure to end with what has been emitted. Behind a load
of the cache, which waits for this step's keys and values to be stored, as many loads may stand as the queue holds: more
would keep the instructions behind them from being fetched until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Load, Ring
from cosyn.codegen.fpga.draft import Draft, Space, Span


def place_loads(config: AcceleratorConfig, drafts: Sequence[Draft]) -> list[Draft]:
    """One core's program: `drafts` with the loads moved ahead. Buffers have addresses."""
    loads = _weights_before_cache(config, [d for d in drafts if d.kind is Load])
    others = [d for d in drafts if d.kind is not Load]
    earliest, needed = _bounds(drafts, loads, others)
    state = _Open(config)
    program: list[Draft] = []
    position = 0
    for index, other in enumerate(others):
        while position < len(loads):
            early = earliest[position] <= index and len(state.open) < config.queue_depth and not state.blocked
            if not early and position >= needed[index]:
                break
            if len(state.open) > config.queue_depth:
                raise AssertionError(f"loads before {other.node} could lock the queue")
            program.append(loads[position])
            state.push(loads[position])
            position += 1
        program.append(other)
        state.pop(other)
        state.reach(needed[index])
    if position != len(loads):
        raise AssertionError(f"{len(loads) - position} loads have no reader, the first for {loads[position].node}")
    return program


class _Open:
    """Loads that have been emitted, from the first that is not sure to end."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._room = {
            int(Ring.WEIGHTS): config.weight_ring_words * config.ring_reads,
            int(Ring.KV): config.kv_ring_words * config.ring_reads,
        }
        self._pushed = dict.fromkeys(self._room, 0)
        self.open: list[tuple[int | None, int]] = []
        self._depth, self._count = config.queue_depth, 0
        self._cached: deque[int] = deque()
        """Numbers of the loads of the cache that nothing emitted waits for."""

    @property
    def blocked(self) -> bool:
        """Whether as many loads as the queue holds stand behind one that may wait for stores."""
        return bool(self._cached) and self._count - self._cached[0] >= self._depth

    def reach(self, needed: int) -> None:
        """What was emitted waits for the first `needed` loads."""
        while self._cached and self._cached[0] < needed:
            self._cached.popleft()

    def push(self, load: Draft) -> None:
        if load.ring is not None:
            self._pushed[load.ring] += load.stripes
        self.open.append((load.ring, 0 if load.ring is None else self._pushed[load.ring]))
        if load.cached:
            self._cached.append(self._count)
        self._count += 1
        self._settle()

    def pop(self, other: Draft) -> None:
        if other.ring is not None:
            self._room[other.ring] += other.stripes
        self._settle()

    def _settle(self) -> None:
        while self.open and (self.open[0][0] is None or self.open[0][1] <= self._room[self.open[0][0]]):
            self.open.pop(0)


def _weights_before_cache(config: AcceleratorConfig, loads: Sequence[Draft]) -> list[Draft]:
    """Weights that the ring can hold move before the first load of the cache that they follow."""
    result: list[Draft] = []
    waiting = list(loads)
    budget = 0
    while waiting:
        head = waiting.pop(0)
        if not head.cached:
            result.append(head)
            continue
        # Everything before is consumed by what the cache itself waits for, so the ring will be empty. Half of it keeps
        # the memory busy until the stores have ended; the other half fills while attention works on the cache.
        budget = config.weight_ring_words // 2 * config.ring_reads
        rest: list[Draft] = []
        for draft in waiting:
            if draft.cached and draft.moment != head.moment:
                # What the next layer's cache waits for may not be in the ring when it is due.
                budget = 0
            if draft.ring != Ring.WEIGHTS or not budget:
                rest.append(draft)
                continue
            taken, left = _cut(config, draft, budget)
            budget -= taken.stripes
            result.append(taken)
            if left is not None:
                rest.append(left)
                budget = 0
        group = [head]
        while rest and rest[0].cached and rest[0].moment == head.moment:
            group.append(rest.pop(0))
        result += group
        waiting = rest
    return result


def _cut(config: AcceleratorConfig, draft: Draft, stripes: int) -> tuple[Draft, Draft | None]:
    """A load of one run as one of at most `stripes` stripes, in whole words, and the rest."""
    if draft.stripes <= stripes:
        return draft, None
    first = stripes // config.ring_reads * config.ring_reads
    address = draft.fields["address"]
    assert isinstance(address, int)
    head = replace(draft, fields={**draft.fields, "length": first}, stripes=first)
    tail_fields = {**draft.fields, "address": address + first, "length": draft.stripes - first}
    return head, replace(draft, fields=tail_fields, stripes=draft.stripes - first)


@dataclass
class _Touched:
    """By line of the on-chip buffers or by buffer of memory: a number per access."""

    lines: dict[Space, np.ndarray] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)

    def get(self, span: Span) -> int:
        if span.buffer.space is Space.MEMORY:
            return self.memory.get(id(span.buffer), 0)
        return max(int(self._array(span.buffer.space, end)[first:end].max()) for first, end in span.runs())

    def set(self, span: Span, number: int) -> None:
        if span.buffer.space is Space.MEMORY:
            self.memory[id(span.buffer)] = number
            return
        for first, end in span.runs():
            self._array(span.buffer.space, end)[first:end] = number

    def _array(self, space: Space, end: int) -> np.ndarray:
        array = self.lines.get(space, np.zeros(0, np.int64))
        if len(array) < end:
            array = np.concatenate([array, np.zeros(2 * end - len(array), np.int64)])
            self.lines[space] = array
        return array


def _bounds(drafts: Sequence[Draft], loads: Sequence[Draft], others: Sequence[Draft]) -> tuple[list[int], list[int]]:
    """For each load how many others must stand before it; for each other how many loads."""
    touched, loaded = _Touched(), _Touched()
    first_other: dict[int, int] = {}
    load_number = {id(load): n for n, load in enumerate(loads)}
    needed = [0] * len(others)
    count = 0
    for draft in drafts:
        spans = (*draft.reads, *draft.writes)
        if draft.kind is Load:
            first_other[id(draft)] = max((touched.get(s) for s in spans), default=0)
            for span in draft.writes:
                loaded.set(span, load_number.get(id(draft), -1) + 1)
            continue
        needed[count] = max((loaded.get(s) for s in spans), default=0)
        count += 1
        for span in spans:
            touched.set(span, count)
    _ring_needs(loads, others, needed)
    earliest, latest = [], 0
    for load in loads:
        # The rest of a load that was cut waits for nothing that the load did not wait for.
        latest = max(latest, first_other.get(id(load), 0))
        earliest.append(latest)
    return earliest, needed


def _ring_needs(loads: Sequence[Draft], others: Sequence[Draft], needed: list[int]) -> None:
    """What takes words from a ring needs the loads that push them."""
    for ring in Ring:
        pushes = [(n + 1, d.stripes) for n, d in enumerate(loads) if d.ring == ring]
        ends = np.cumsum([stripes for _, stripes in pushes])
        popped = 0
        for index, other in enumerate(others):
            if other.ring == ring:
                popped += other.stripes
                needed[index] = max(needed[index], pushes[int(np.searchsorted(ends, popped))][0])
