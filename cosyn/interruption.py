"""Remembers Ctrl-C, whatever becomes of the exception that it raises."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """While in its `with`: Ctrl-C raises KeyboardInterrupt as always, and `seen` says that it did.

    TVM turns a KeyboardInterrupt in one of its callbacks into a RuntimeError without a message, and a linker
    that the same Ctrl-C ended fails for no other reason: `seen` tells both from faults.
    """

    def __init__(self) -> None:
        self.seen = False
        # Python takes signals in its main thread only; elsewhere, nobody's Ctrl-C arrives here.
        self._active = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Interruption:
        if self._active:
            self._before = signal.getsignal(signal.SIGINT)
            # Who ignores Ctrl-C, such as a job in the background, goes on ignoring it.
            self._active = self._before is signal.default_int_handler
        if self._active:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        signal.default_int_handler(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)
