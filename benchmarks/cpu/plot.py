"""The picture of a run: speed of each engine and format, and the share of the read bandwidth that decoding reaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.cpu.samples import Row

_COLOURS = {
    "cosyn": "#E45756", "llama.cpp": "#4C78A8", "OpenVINO": "#72B7B2", "PyTorch eager": "#BAB0AC",
    "PyTorch compiled": "#9D755D",
}  # fmt: skip
_PANELS = (("pp512", False), ("tg64", False), ("tg64@1900", False), ("tg64", True), ("tg64@1900", True))
"""Test, and whether its share of the read bandwidth is drawn instead of its speed."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """One line of panels for each shape, at the most threads measured; SVG or PNG by the suffix of `path`."""
    threads = max(r.threads for r in rows)
    here = [r for r in rows if r.threads == threads]
    shapes = list(dict.fromkeys(r.shape for r in here))
    variants = {s: list(dict.fromkeys((r.engine, r.bits) for r in here if r.shape == s)) for s in shapes}
    heights = [1.2 + 0.21 * len(variants[s]) for s in shapes]
    figure = Figure(figsize=(15, 0.6 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(shapes), len(_PANELS), squeeze=False, height_ratios=heights)
    for line, shape in zip(grid, shapes, strict=True):
        for i, (axes, (test, share)) in enumerate(zip(line, _PANELS, strict=True)):
            _panel(axes, [r for r in here if (r.shape, r.test) == (shape, test)], variants[shape], share=share)
            axes.set_title(f"{shape} {test}: {'share of read bandwidth' if share else 'tokens/s'}", fontsize=8)
            axes.tick_params(labelleft=i == 0)
    engines = dict.fromkeys(r.engine for r in here)
    handles = [Patch(color=_colour(e), label=e) for e in engines]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    _save(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], variants: Sequence[tuple[str, str]], *, share: bool) -> None:
    found = {(r.engine, r.bits): r for r in rows}
    for at, variant in enumerate(variants):
        row = found.get(variant)
        if row is None:
            continue
        value = row.roofline_fraction if share else row.tokens_per_second
        if value is None:
            continue
        spread = None if share else [[row.tokens_per_second - row.low], [row.high - row.tokens_per_second]]
        axes.barh(at, value, color=_colour(row.engine), height=0.8, xerr=spread, ecolor="#555555")
        text = f"{value:.0%}" if share else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        axes.text(value, at, f" {text}", va="center", fontsize=6)
    axes.set_yticks(range(len(variants)), [" ".join(v) for v in variants], fontsize=7)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    axes.margins(x=0.18)
    axes.tick_params(axis="x", labelsize=6)
    if share:
        axes.axvline(1, color="#333333", lw=0.8, ls="--")
    axes.spines[["top", "right"]].set_visible(False)


def _colour(engine: str) -> str:
    return _COLOURS.get(engine, "#CCCCCC")


def _save(figure: Figure, path: Path) -> None:
    # No date and fixed ids, so that the same rows give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "cosyn", "svg.fonttype": "none"}):
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=130, metadata=metadata)
