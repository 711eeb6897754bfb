"""What the commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cosyn.errors import Failure


class Console:
    """One command's voice. `as_json` reserves stdout for one object; `quiet` leaves stderr to errors."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: int = 0) -> None:
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        # Rich drops colour and bars by itself where stderr is no terminal or NO_COLOR is set.
        self.stderr = RichConsole(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def log(self, text: str) -> None:
        """A line about what is going on."""
        if not self.quiet:
            self.stderr.print(text)

    def detail(self, text: str) -> None:
        """A line that only `-v` shows."""
        if self.verbose:
            self.log(text)

    def found(self, what: str, override: str) -> None:
        """What was detected, and which flag changes it."""
        self.log(f"found {what} (override with {override})")

    def result(self, data: Mapping[str, object], lines: Iterable[str]) -> None:
        """The result: `data` as one JSON object, or `lines` for a reader."""
        if self.as_json:
            _print_json(data)
            return
        for line in lines:
            print(line, flush=True)

    def failure(self, failure: Failure) -> None:
        """`error: …` and `hint: …` on stderr, and with `--json` also one object on stdout."""
        if self.as_json:
            _print_json(failure.as_json())
        self.stderr.print(f"error: {failure.error}", style="red")
        if failure.hint:
            self.stderr.print(f"hint: {failure.hint}")

    def steps(self) -> Steps:
        """Progress of long work, to be used in a `with`."""
        return Steps(self)


class Steps:
    """Prints `[3/9] name` with the time that each step took; on a terminal also a bar while it runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}
        self._name: str | None = None
        self._label = ""
        self._begun = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Steps:
        if self.console.stderr.is_terminal and not self.console.quiet:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
                console=self.console.stderr,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def step(self, index: int, total: int, name: str) -> None:
        """Step `index` (from 1) of `total` begins; the one before it is finished."""
        self._finish("")
        self._name, self._label, self._begun = name, f"[{index}/{total}] {name}", time.perf_counter()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=self._label, total=total, completed=index - 1)

    def _finish(self, note: str) -> None:
        if self._name is None:
            return
        took = time.perf_counter() - self._begun
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + took
        self.console.log(f"{self._label:<36} {took:6.1f} s{note}")
        self._name = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._finish("" if error is None else "  stopped here")


def _print_json(data: Mapping[str, object]) -> None:
    """One line, with its text readable where stdout takes it and escaped as JSON escapes elsewhere."""
    readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(data, ensure_ascii=not readable), flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a plain table, columns aligned left, widths from the longest cell."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def write_stream(text: str) -> None:
    """Text of a generation, as it comes."""
    sys.stdout.write(text)
    sys.stdout.flush()
