"""Happens-before between instructions, from their token masks alone, and every pair of accesses that it leaves open.

Written apart from the compiler's own scheduler: it replays tokens as counters, builds the whole order as bit sets, and
compares all pairs of instructions that touch a line.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Sequence

from cosyn.accelerator_model.isa import MatrixInstruction, Opcode
from cosyn.codegen.fpga.draft import Draft, Space

Access = tuple[int, bool]
"""Number of the instruction, and whether it writes."""


def ended_before_start(drafts: Sequence[Draft]) -> list[int]:
    """For each instruction the set (as bits) of those that have certainly ended when it starts."""
    tokens: dict[tuple[Opcode, Opcode], deque[int]] = defaultdict(deque)
    started: list[int] = []
    ended: list[int] = []
    last: dict[Opcode, int] = {}
    for number, draft in enumerate(drafts):
        own = draft.kind.opcode
        before = 0
        previous = last.get(own)
        if previous is not None:
            # Loads overlap: the next one starts when the one before has started.
            before |= started[previous] if own == Opcode.LD else ended[previous]
        for other in Opcode:
            if draft.wait >> other & 1:
                giver = tokens[other, own].popleft()  # in order of retirement, which is that of the class
                before |= ended[giver]
        started.append(before)
        end = before | 1 << number
        if previous is not None:
            end |= ended[previous]
        ended.append(end)
        for other in Opcode:
            if draft.release >> other & 1:
                tokens[own, other].append(number)
        last[own] = number
    left = {(a.name, b.name): len(queue) for (a, b), queue in tokens.items() if queue}
    assert not left, f"tokens that nobody takes: {left}"
    return started


def races(drafts: Sequence[Draft]) -> list[str]:
    """Pairs of instructions of different classes that touch a line, one writing it, in no certain order."""
    before = ended_before_start(drafts)
    found = set()
    for accesses in _touched(drafts).values():
        for position, (second, second_writes) in enumerate(accesses):
            for first, first_writes in accesses[:position]:
                if not (first_writes or second_writes) or drafts[first].kind is drafts[second].kind:
                    continue
                if not before[second] >> first & 1:
                    found.add((first, second))
    return [f"{drafts[a].node} (#{a}) and {drafts[b].node} (#{b})" for a, b in sorted(found)]


def _touched(drafts: Sequence[Draft]) -> dict[tuple[object, int], list[Access]]:
    """Accesses by place: lines between two borders of any access are one place, since all accesses treat them alike."""
    runs: list[tuple[Space, int, int, int, bool]] = []
    touched: dict[tuple[object, int], list[Access]] = defaultdict(list)
    for number, draft in enumerate(drafts):
        for spans, writes in ((draft.reads, False), (draft.writes, True)):
            for span in spans:
                if span.buffer.space is Space.MEMORY:
                    touched[id(span.buffer), 0].append((number, writes))
                else:
                    runs += [(span.buffer.space, first, end, number, writes) for first, end in span.runs()]
        if draft.ring is not None and issubclass(draft.kind, MatrixInstruction):
            touched["ring", draft.ring].append((number, True))
    for space in {run[0] for run in runs}:
        borders = sorted({border for run in runs if run[0] is space for border in run[1:3]})
        for _, first, end, number, writes in (run for run in runs if run[0] is space):
            for place in range(bisect_left(borders, first), bisect_left(borders, end)):
                if (number, writes) not in touched[space, place][-1:]:
                    touched[space, place].append((number, writes))
    return touched
