"""Tokens between the queues: the fewest that keep every access to a buffer in order.

Instructions of one class are in order by themselves. Between classes, an instruction must wait for the last writer of
what it reads, and for the last writer and readers of what it writes. It waits for the one that comes last in the
program first: what that one has waited for need not be waited for again (vector clocks).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.isa import MatrixInstruction, Opcode, System, SystemOperation
from cosyn.codegen.fpga.draft import Draft, Space, Span

Clock = NDArray[np.int64]
"""For each class the number of its instructions that are known to have retired."""

_CLASSES = len(Opcode)


class _Accesses:
    """The last access to every line, as a count of instructions of each class."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        sizes = {Space.VECTOR: 1, Space.ACTIVATION: 1}
        for draft in drafts:
            for span in (*draft.reads, *draft.writes):
                if span.buffer.space in sizes:
                    end = max(end for _, end in span.runs())
                    sizes[span.buffer.space] = max(sizes[span.buffer.space], end)
        self._lines = {space: np.zeros((2, size, _CLASSES), np.int64) for space, size in sizes.items()}
        # Memory that is both stored to and loaded is one access each: keys, values or scales of a head.
        self._memory: dict[int, NDArray[np.int64]] = {}
        self._rings: dict[int, Clock] = {}

    def needed(self, draft: Draft) -> Clock:
        """How many instructions of each class must have retired before `draft` may start."""
        need = np.zeros(_CLASSES, np.int64)
        for span in draft.reads:
            for part in self._parts(span):
                np.maximum(need, part[0].max(axis=0), out=need)
        for span in draft.writes:
            for part in self._parts(span):
                np.maximum(need, part.max(axis=(0, 1)), out=need)
        if draft.ring is not None and issubclass(draft.kind, MatrixInstruction):
            # MM and MV take words from one ring: in the order of the program.
            np.maximum(need, self._ring(draft.ring), out=need)
        return need

    def record(self, draft: Draft, number: int) -> None:
        """`draft` is instruction `number` (from 1) of its class."""
        opcode = draft.kind.opcode
        for spans, kind in ((draft.writes, 0), (draft.reads, 1)):
            for span in spans:
                for part in self._parts(span):
                    part[kind, :, opcode] = number
        if draft.ring is not None and issubclass(draft.kind, MatrixInstruction):
            self._ring(draft.ring)[opcode] = number

    def _parts(self, span: Span) -> list[NDArray[np.int64]]:
        """Views [write or read, lines, classes] of what the span covers."""
        if span.buffer.space is Space.MEMORY:
            return [self._memory.setdefault(id(span.buffer), np.zeros((2, 1, _CLASSES), np.int64))]
        lines = self._lines[span.buffer.space]
        return [lines[:, first:end] for first, end in span.runs()]

    def _ring(self, ring: int) -> Clock:
        return self._rings.setdefault(ring, np.zeros(_CLASSES, np.int64))


def add_tokens(drafts: Sequence[Draft]) -> None:
    """Set the wait and release masks of one core's instructions, which are in program order."""
    accesses = _Accesses(drafts)
    by_class: list[list[Draft]] = [[] for _ in range(_CLASSES)]
    started = [np.zeros(_CLASSES, np.int64) for _ in range(_CLASSES)]
    retired: list[list[Clock]] = [[np.zeros(_CLASSES, np.int64)] for _ in range(_CLASSES)]
    position: list[list[int]] = [[-1] for _ in range(_CLASSES)]
    for index, draft in enumerate(drafts):
        own = draft.kind.opcode
        # LD requests ahead: its start says nothing about the end of the one before.
        clock = (started[own] if own == Opcode.LD else retired[own][-1]).copy()
        need = accesses.needed(draft)
        if issubclass(draft.kind, System) and draft.fields.get("operation") == SystemOperation.DONE:
            need = np.array([len(items) for items in by_class], np.int64)
        need[own] = 0
        late = [c for c in range(_CLASSES) if need[c] > clock[c]]
        for other in sorted(late, key=lambda c: -position[c][need[c]]):
            if need[other] <= clock[other]:
                continue
            source = by_class[other][need[other] - 1]
            source.release |= 1 << own
            draft.wait |= 1 << other
            np.maximum(clock, retired[other][need[other]], out=clock)
        started[own] = clock
        by_class[own].append(draft)
        number = len(by_class[own])
        end = np.maximum(clock, retired[own][-1])
        end[own] = number
        retired[own].append(end)
        position[own].append(index)
        accesses.record(draft, number)
