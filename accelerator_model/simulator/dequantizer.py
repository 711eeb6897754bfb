"""How long the steps of a tile take when every word is there: the order in which `cosyn_dequantizer` takes words.

It holds one word of data, one of indices (or high bits) and one of group scales. Words come in order, so a word whose
place is taken holds up those behind it; now and then that costs a cycle more than max(steps, words).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cosyn.accelerator_model.isa.matrix_meaning import MatrixShape
from cosyn.accelerator_model.tile_stream import DENSE

_PASSES = 4


class PassTime(NamedTuple):
    """Cycles of a pass over a tile: one that follows another, and what the first one takes more."""

    cycles: int
    lead: int


def pass_time(sizes: MatrixShape, mm: bool, groups_per_word: int) -> PassTime:
    """Cycles from the first word of a pass to that of the next."""
    return _pass_time(sizes.steps, sizes.bits, sizes.kept, sizes.group_steps, mm, groups_per_word)


@lru_cache(maxsize=4096)
def _pass_time(steps: int, bits: int, kept: int, group_steps: int, mm: bool, groups_per_word: int) -> PassTime:
    words = _Words()
    ends = []
    for _ in range(_PASSES):
        for step in range(steps):
            if group_steps and step % group_steps == 0:
                words.group(step // group_steps % groups_per_word == 0)
            _step(words, step, bits, kept, mm)
        ends.append(words.fired)
    cycles = ends[-1] - ends[-2]
    return PassTime(cycles, ends[0] - cycles)


def _step(words: _Words, step: int, bits: int, kept: int, mm: bool) -> None:
    """Take the words of a step and fire it, in two halves where the array or the words need it."""
    pairs, helped = bits in (2, 3), bits == 3 or kept != DENSE
    period = 4 if bits == 3 else 2
    if helped and step % period == 0:
        words.take("aux")
    # The second half of an index word is moved away, which makes room for the next.
    last_of_half = step % period == (1 if bits == 3 else 0)
    halves = 2 if mm or bits == 8 else 1
    for half in range(halves):
        if bits == 8 or (half == 0 and not (pairs and step % 2)):
            words.take("data")
        words.fire()
        last = half == halves - 1
        if bits == 8 or (last and not (pairs and step % 2 == 0)):
            words.free("data")
        if last and helped and last_of_half:
            words.free("aux")


class _Words:
    """When words are taken and steps fire; cycle 0 takes the first word."""

    def __init__(self) -> None:
        self.taken = -1
        """Cycle of the last word taken."""
        self.fired = -1
        """Cycle of the last (half) step."""
        self._free = {"data": 0, "aux": 0, "scale": 0}
        self._ready = 0
        """First cycle in which all that the next step needs is there."""
        self._scales = 0
        """Cycle of the scale word in use."""

    def take(self, kind: str) -> None:
        """Take the next word once its place is free."""
        self.taken = max(self.taken + 1, self._free[kind])
        if kind != "scale":
            self._ready = max(self._ready, self.taken + 1)

    def free(self, kind: str) -> None:
        """The step that just fired has used the word up: the next may come in that cycle."""
        self._free[kind] = self.fired

    def group(self, new_word: bool) -> None:
        """Load the scales of the next group, when the one before has ended."""
        if new_word:
            self.take("scale")
            self._scales = self.taken + 1
        loaded = max(self._scales, self.fired)
        self._ready = max(self._ready, loaded + 1)
        # The word is used up when its last group is loaded, which is the last call before the next word.
        self._free["scale"] = loaded

    def fire(self) -> None:
        """A (half) step enters the array."""
        self.fired = max(self.fired + 1, self._ready)
