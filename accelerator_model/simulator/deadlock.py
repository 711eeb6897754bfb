"""The report of a program that cannot go on: who waits for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa.opcode import Opcode

Place = tuple[int, Opcode]
"""A queue: core and class."""


class Blocked(NamedTuple):
    """The instruction at the head of a queue, and the queues that would have to move first."""

    instruction: str
    reasons: tuple[tuple[Place, str], ...]
    """A queue and what is missing from it."""


class DeadlockError(ProgramError):
    """No instruction can go on, and the program has not ended."""


def deadlock(blocked: Mapping[Place, Blocked], when: str) -> DeadlockError:
    """The error whose text names the wait cycle, or the queue that ended without giving what is waited for."""
    chain = _cycle(blocked)
    lines = [f"deadlock {when}; the program cannot go on:"]
    for place, reason in chain:
        core, opcode = place
        entry = blocked.get(place)
        text = entry.instruction if entry else "its queue has ended"
        lines.append(f"  core {core} {opcode.name}: {text}" + (f"\n    waits for {reason}" if reason else ""))
    if chain[-1][1]:
        core, opcode = chain[0][0]
        lines.append(f"  and so back to core {core} {opcode.name}")
    others = [place for place in blocked if place not in {item for item, _ in chain}]
    for core, opcode in others:
        lines.append(f"  also waiting: core {core} {opcode.name}: {blocked[core, opcode].instruction}")
    return DeadlockError("\n".join(lines))


def _cycle(blocked: Mapping[Place, Blocked]) -> list[tuple[Place, str]]:
    """Follow what each queue waits for until a queue comes up again or one has ended."""
    best: list[tuple[Place, str]] = []
    for start in blocked:
        seen: list[tuple[Place, str]] = []
        place = start
        while place in blocked and place not in [item for item, _ in seen]:
            following, reason = blocked[place].reasons[0]
            seen.append((place, reason))
            place = following
        if place not in blocked:
            ended = [*seen, (place, "")]
            best = best if best and best[-1][1] == "" else ended
            continue
        return seen[[item for item, _ in seen].index(place) :]
    return best
