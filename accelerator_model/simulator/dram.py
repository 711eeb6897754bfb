"""One memory channel: the timing of `rtl_testbench/tb/cosyn_dram_channel.sv`, burst by burst."""

from __future__ import annotations

from typing import NamedTuple

from cosyn.accelerator_model.config import MemoryTiming


class Beats(NamedTuple):
    """`length` beats in consecutive cycles from `first`."""

    first: int
    length: int

    @property
    def last(self) -> int:
        """Cycle of the last beat."""
        return self.first + self.length - 1


class OpenRow(NamedTuple):
    """What the last burst leaves to the next: its last row, and its direction."""

    row: int
    writes: bool


class Channel:
    """Serves bursts in the order of the calls.

    A burst that arrives in cycle t (its address handshake) is served from t + 1 at the earliest. When its turn comes
    it waits for a new row and for a change of direction; then a beat moves every cycle but those of a refresh.
    """

    def __init__(
        self, timing: MemoryTiming, channel_bytes: int, started: int = 0, opened: OpenRow | None = None
    ) -> None:
        """`started`: cycle 0 of the calls, counted from reset as refreshes are; `opened`: by what came before."""
        self._timing, self._started = timing, started
        self._channel_bytes = channel_bytes
        self._free = 0
        self.opened = opened
        self.busy_cycles = self.row_misses = self.turnarounds = 0

    def serve(self, arrival: int, address: int, beats: int, write: bool = False, data_from: int = 0) -> list[Beats]:
        """Cycles in which the beats of a burst at byte `address` move; write data is there from `data_from` on."""
        timing = self._timing
        start = max(arrival + 1, self._free)
        row = address // timing.row_bytes
        if self.opened is None or row not in (self.opened.row, self.opened.row + 1):
            start += timing.row_miss_cycles
            self.row_misses += 1
        if self.opened is not None and write != self.opened.writes:
            start += timing.turnaround_cycles
            self.turnarounds += 1
        moved = self._moving(max(start, data_from), beats)
        self._free = moved[-1].last + 1
        self.opened = OpenRow((address + (beats - 1) * self._channel_bytes) // timing.row_bytes, write)
        self.busy_cycles += beats
        return moved

    def _moving(self, cycle: int, beats: int) -> list[Beats]:
        """`beats` cycles from `cycle` on, without those of refreshes."""
        interval, pause = self._timing.refresh_interval_cycles, self._timing.refresh_cycles
        found = []
        while beats:
            phase = (cycle + self._started) % interval
            if phase < pause:
                cycle += pause - phase
                phase = pause
            count = min(beats, interval - phase)
            found.append(Beats(cycle, count))
            cycle += count
            beats -= count
        return found
