"""What ran when: a picture of the units, and a trace for Chrome's or Perfetto's viewer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.simulator.results import Retirement, RunResult

_COLOURS = {
    Opcode.LD: "#4477aa",
    Opcode.ST: "#66ccee",
    Opcode.MM: "#228833",
    Opcode.MV: "#55aa44",
    Opcode.MISC: "#ccbb44",
    Opcode.SYS: "#aa3377",
}


def chrome_trace(result: RunResult, clock_hz: int) -> str:
    """The run as trace-event JSON: a process per core, a thread per class, times in microseconds."""
    events: list[dict[str, object]] = []
    for core in sorted({item.core for item in result.retirements}):
        events.append({"ph": "M", "name": "process_name", "pid": core, "args": {"name": f"core {core}"}})
        for opcode in Opcode:
            thread = {"ph": "M", "name": "thread_name", "pid": core, "tid": int(opcode)}
            events.append({**thread, "args": {"name": opcode.name}})
    scale = 1e6 / clock_hz
    for item in result.retirements:
        events.append(
            {
                "ph": "X",
                "name": item.node or item.opcode.name,
                "cat": item.opcode.name,
                "pid": item.core,
                "tid": int(item.opcode),
                "ts": item.start * scale,
                "dur": (item.end - item.start) * scale,
                "args": {"instruction": item.index, "start_cycle": item.start, "end_cycle": item.end},
            }
        )
    return json.dumps({"displayTimeUnit": "ns", "traceEvents": events}, separators=(",", ":"))


def draw_timeline(result: RunResult, path: Path, first: int = 0, last: int | None = None) -> None:
    """Write a picture of cycles `first` to `last`: a row per core and class that ran, a bar per instruction."""
    # The picture is the only thing here that needs matplotlib, which the runtime does not install.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    end = result.cycles if last is None else last
    shown = [item for item in result.retirements if item.end >= first and item.start <= end]
    rows = sorted({(item.core, item.opcode) for item in shown})
    figure = Figure(figsize=(14, 1.2 + 0.32 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for height, (core, opcode) in enumerate(rows):
        bars = _bars([item for item in shown if (item.core, item.opcode) == (core, opcode)])
        axes.broken_barh(bars, (height - 0.4, 0.8), facecolors=_COLOURS[opcode], edgecolor="white", linewidth=0.2)
    axes.set_yticks(range(len(rows)), [f"core {core} {opcode.name}" for core, opcode in rows])
    axes.invert_yaxis()
    axes.set_xlim(first, max(end, first + 1))
    axes.set_xlabel("cycle")
    busy = f"{result.cycles:,} cycles, {result.memory_efficiency:.1%} of peak memory bandwidth"
    axes.set_title(busy)
    figure.savefig(path, dpi=120)


def _bars(items: Sequence[Retirement]) -> list[tuple[int, int]]:
    """Start and length of each instruction; one that ran ahead is cut where the one before ended."""
    bars, free = [], 0
    for item in items:
        start = max(item.start, free)
        bars.append((start, max(item.end - start, 1)))
        free = item.end
    return bars
