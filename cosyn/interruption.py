"""Remembers Ctrl-C and a request to end, whatever becomes of the exception that they raise."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType

_Handler = Callable[[int, FrameType | None], object] | signal.Handlers

_INITIAL: Mapping[signal.Signals, _Handler] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""What is done with each signal where nobody has asked for anything else."""


class Interruption:
    """While in its `with`: Ctrl-C and SIGTERM raise KeyboardInterrupt, and `seen` says that they did.

    Without it SIGTERM would end the process on the spot, with half an artifact left behind. TVM turns a
    KeyboardInterrupt in one of its callbacks into a RuntimeError without a message, and a linker that the same Ctrl-C
    ended fails for no other reason: `seen` tells both from faults.
    """

    def __init__(self) -> None:
        self.seen = False
        # Python takes signals in its main thread only; elsewhere, none arrives here.
        self._active = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Interruption:
        # Who ignores Ctrl-C, such as a job in the background, goes on ignoring it.
        self._taken = [s for s, initial in _INITIAL.items() if self._active and signal.getsignal(s) == initial]
        for number in self._taken:
            signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        signal.default_int_handler(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._taken:
            signal.signal(number, _INITIAL[number])
