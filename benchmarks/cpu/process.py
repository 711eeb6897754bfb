"""An engine's process, as the benchmark sees it: asked over pipes, stopped while others are measured."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from benchmarks.cpu.variants import ROOT, Variant

_PARENT_DIES = 1
"""Number of prctl's request to be signalled when the parent ends."""


class EngineError(Exception):
    """An engine could not do what it was asked; `absent` where it is not installed."""

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


class EngineProcess:
    """One variant's process; its own output goes to a file of the folder `logs`."""

    def __init__(self, variant: Variant, threads: int, logs: Path) -> None:
        if not variant.interpreter.exists():
            raise EngineError(f"not installed: there is no {_short(variant.interpreter)}", absent=True)
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"{variant.name.replace(' ', '-')}-{threads}.log"
        words = [str(variant.interpreter), "-m", variant.module]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, request: dict[str, object], timeout: float) -> dict[str, object]:
        """Its answer. EngineError where it says so, ends, or takes more than `timeout` seconds."""
        self._signal(signal.SIGCONT)
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._ended() from None
        answer = json.loads(self._line(timeout))
        self._signal(signal.SIGSTOP)
        if "error" in answer:
            raise EngineError(str(answer["error"]))
        assert isinstance(answer, dict)
        return answer

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self, timeout: float) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        # One answer follows one request, so nothing can be left in the reader's buffer.
        if not select.select([pipe], [], [], timeout)[0]:
            self.close()
            raise EngineError(f"no answer within {timeout:.0f} s")
        line = pipe.readline()
        if not line:
            raise self._ended()
        return line

    def _ended(self) -> EngineError:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [f"exit code {code}"]
        return EngineError(f"ended: {lines[-1][:200]}", absent="No module named" in lines[-1])

    def _signal(self, number: int) -> None:
        # Threads that spin between two pieces of work would take a core from the engine that is measured.
        if self._process.poll() is None:
            self._process.send_signal(number)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
