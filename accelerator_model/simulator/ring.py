"""A weight ring in time: when stripes arrive, when words may be read, when places become free."""

from __future__ import annotations

from collections import deque

from cosyn.accelerator_model.simulator.kernel import Kernel, Signal


class TimedRing:
    """Stripes arrive in runs of one a cycle; words of `reads` stripes leave."""

    def __init__(self, kernel: Kernel, words: int, reads: int) -> None:
        self._reads = reads
        self._runs: deque[tuple[int, int]] = deque()
        self._odd = 0
        """Stripes of a word whose other stripes have not come yet."""
        self.free = words * reads
        """Places for stripes."""
        self.stripes = 0
        """Stripes that have come or are coming, and have not been read."""
        self.filled = Signal(kernel)
        self.freed = Signal(kernel)

    def push(self, first: int, count: int) -> None:
        """`count` stripes arrive, one a cycle from cycle `first`; their places must be free."""
        self.free -= count
        self.stripes += count
        self._runs.append((first, count))
        self.filled.notify()

    def read(self, words: int, cycle: float, gap: float, latency: int) -> tuple[int, float]:
        """Read up to `words` words from `cycle` on, one every `gap` cycles and none before it has arrived.

        How many there were, and the cycle at which the one after them could be read.
        """
        done = 0
        while done < words and self._runs:
            first, count = self._runs.popleft()
            wanted = (words - done) * self._reads - self._odd
            if count > wanted:
                self._runs.appendleft((first + wanted, count - wanted))
                count = wanted
            self._odd += count
            whole, self._odd = divmod(self._odd, self._reads)
            if whole:
                # Both ends are straight lines in time, so only the first and the last word can hold the others up.
                last = first + count - 1 - self._odd + latency
                begin = max(cycle, last - (whole - 1) * self._reads)
                cycle = max(begin + whole * gap, last + gap)
                done += whole
        self.stripes -= done * self._reads
        return done, cycle

    def release(self, words: int) -> None:
        """Give the places of `words` words back."""
        self.free += words * self._reads
        self.freed.notify()
