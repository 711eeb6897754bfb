"""Differences between two captures, and how they are told."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Capture = Mapping[str, Mapping[str, str]]
"""Example → kernel (or another part of the artifact) → text."""

SHOWN_LINES = 80


@dataclass(frozen=True, slots=True)
class Difference:
    """One kernel of one example; `before` or `after` is empty where it was added or removed."""

    example: str
    kernel: str
    kind: Literal["changed", "added", "removed"]
    before: str
    after: str

    def diff(self, lines: int = SHOWN_LINES) -> str:
        """A unified diff, of which at most so many lines."""
        names = (f"before: {self.example}: {self.kernel}", f"after: {self.example}: {self.kernel}")
        found = list(difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), *names, lineterm="", n=2))
        rest = [f"... {len(found) - lines} lines more"] if len(found) > lines else []
        return "\n".join([*found[:lines], *rest])


def differences(before: Capture, after: Capture) -> list[Difference]:
    """Every kernel that is not the same in both, by example, in the order of `after`."""
    out = []
    for example in [*after, *(e for e in before if e not in after)]:
        old, new = before.get(example, {}), after.get(example, {})
        for kernel in [*new, *(k for k in old if k not in new)]:
            if kernel not in old:
                out.append(Difference(example, kernel, "added", "", new[kernel]))
            elif kernel not in new:
                out.append(Difference(example, kernel, "removed", old[kernel], ""))
            elif old[kernel] != new[kernel]:
                out.append(Difference(example, kernel, "changed", old[kernel], new[kernel]))
    return out


def report(found: Sequence[Difference], after: Capture) -> str:
    """What changed, a line for each example, and the diff of the first changed kernel."""
    total = sum(map(len, after.values()))
    if not found:
        return f"replay: the same code: {total} kernels and plans of {len(after)} examples"
    examples = list(dict.fromkeys(d.example for d in found))
    lines = [f"replay: {len(found)} of {total} kernels and plans differ, in {len(examples)} of {len(after)} examples"]
    for example in examples:
        for kind in ("changed", "added", "removed"):
            names = [d.kernel for d in found if d.example == example and d.kind == kind]
            if names:
                lines.append(f"  {example}: {kind} {', '.join(names)}")
    first = next((d for d in found if d.kind == "changed"), found[0])
    return "\n".join([*lines, "", first.diff()])
