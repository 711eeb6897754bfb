"""The write port of the vector buffer, shared by the special-function unit, the drain and loads, in that order."""

from __future__ import annotations

_GROWTH = 1 << 16


class WritePort:
    """Which cycles are taken.

    A unit asks a few cycles before it writes, and the special-function unit knows its writes longer ahead than all
    others look, so who asks first also comes first.
    """

    def __init__(self) -> None:
        self._taken = bytearray(_GROWTH)

    def mark(self, first: int, count: int, step: int) -> None:
        """Take `count` cycles, `step` apart: the first in the order of priority."""
        self._reach(first + count * step)
        self._taken[first : first + count * step : step] = b"\1" * count

    def take(self, cycle: int) -> int:
        """Take the first free cycle from `cycle` on."""
        self._reach(cycle + 1)
        found = self._taken.find(0, cycle)
        if found < 0:
            found = len(self._taken)
            self._reach(found + 1)
        self._taken[found] = 1
        return found

    def _reach(self, cycle: int) -> None:
        if cycle > len(self._taken):
            self._taken.extend(bytes(cycle - len(self._taken) + _GROWTH))
