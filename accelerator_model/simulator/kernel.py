"""Discrete events: processes are generators that yield the cycle to go on at, or a signal to wait for."""

from __future__ import annotations

import heapq
from collections.abc import Generator

Process = Generator["int | Signal", None, None]


class Signal:
    """Something that processes wait for; whoever changes it calls `notify`."""

    __slots__ = ("_kernel", "_waiting")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._waiting: list[Process] = []

    def notify(self) -> None:
        """Let everything that waits look again, in this cycle."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for process in waiting:
                self._kernel.schedule(self._kernel.now, process)

    def join(self, process: Process) -> None:
        """Put `process` to sleep until the next `notify`."""
        self._waiting.append(process)


class Kernel:
    """The clock and what is due. Processes of one cycle run in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now = 0
        self._due: list[tuple[int, int, Process]] = []
        self._count = 0

    def schedule(self, cycle: int, process: Process) -> None:
        """Resume `process` at `cycle`, or now when that is past."""
        self._count += 1
        heapq.heappush(self._due, (max(cycle, self.now), self._count, process))

    def run(self) -> None:
        """Go on until nothing is due."""
        due = self._due
        while due:
            self.now, _, process = heapq.heappop(due)
            wanted = next(process, None)
            if wanted is None:
                continue
            if isinstance(wanted, Signal):
                wanted.join(process)
            else:
                self.schedule(wanted, process)
