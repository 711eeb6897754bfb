"""The drain in time: it empties finished passes a line a cycle, and writes behind the special-function unit."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.simulator.core import TimedCore
from cosyn.accelerator_model.simulator.kernel import Process, Signal
from cosyn.accelerator_model.simulator.results import Stall
from cosyn.accelerator_model.simulator.timing import TIMING


class FinishedPass(NamedTuple):
    """Results of `rows` rows that can be read from `ready` on."""

    ready: int
    rows: int
    token_scaled: bool
    opcode: Opcode


class Drain:
    """A process that empties finished passes in order."""

    def __init__(self, core: TimedCore) -> None:
        self._core = core
        self._passes: deque[FinishedPass] = deque()
        self._put = Signal(core.kernel)
        self.emptied = Signal(core.kernel)
        self.reads: deque[int] = deque()
        """The last read of each pass whose place the array has not yet used again."""
        self.written = 0
        """Cycle of the last write so far."""
        core.kernel.schedule(0, self._serve())

    def put(self, finished: FinishedPass) -> None:
        """Hand over the results of a pass."""
        self._passes.append(finished)
        self._put.notify()

    @property
    def empty(self) -> bool:
        """Whether every line is written or its cycle is known."""
        return not self._passes

    def _serve(self) -> Process:
        core = self._core
        lines = core.config.tile_columns // core.config.lanes
        cursor = 0
        waiting: deque[int] = deque()
        while True:
            while not self._passes:
                yield self._put
            finished = self._passes[0]
            cursor = max(cursor, finished.ready)
            for _ in range(finished.rows):
                yield cursor
                cursor += finished.token_scaled
                for _ in range(lines):
                    if len(waiting) == TIMING.drain_lines:
                        cursor = max(cursor, waiting.popleft() + 1)
                    wanted = max(cursor + TIMING.drain_write, self.written + 1)
                    self.written = core.port.take(wanted)
                    core.stall(finished.opcode, Stall.PORT, self.written - wanted)
                    waiting.append(self.written)
                    cursor += 1
            self._passes.popleft()
            self.reads.append(cursor - 1)
            self.emptied.notify()
