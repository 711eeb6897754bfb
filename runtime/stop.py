"""Stop strings: found across token boundaries, and never shown in part."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.runtime.errors import RequestError


class StopMatcher:
    """Passes text through, up to the first stop string; holds back an end that may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        if any(not stop for stop in stops):
            raise RequestError("a stop string must not be empty")
        self._stops = tuple(stops)
        self._held = ""
        self.hit: str | None = None
        """The stop string that was found."""

    def push(self, text: str) -> str:
        """Add text; returns what is safe to show. Nothing more is shown after a hit."""
        if self.hit is not None:
            return ""
        self._held += text
        found = [(self._held.find(stop), stop) for stop in self._stops if stop in self._held]
        if found:
            # The first to be complete, so that it does not matter how the text was divided.
            at, self.hit = min(found, key=lambda pair: (pair[0] + len(pair[1]), pair[0]))
            shown, self._held = self._held[:at], ""
            return shown
        keep = max((self._overlap(stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def flush(self) -> str:
        """What was held back, once the text has ended."""
        shown, self._held = self._held, ""
        return shown

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that begins `stop`."""
        for size in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:size]):
                return size
        return 0
