"""Pictures of a compilation: the memory plan, and the graph of kernels. SVG or PNG, by the file's suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle

from cosyn.graph_layout import Layout, layout
from cosyn.ir.graph import Graph
from cosyn.ir.printer import print_type
from cosyn.passes.fuse import FusionPlan, Group
from cosyn.passes.plan_memory import MemoryPlan

COLOURS: Mapping[str, str] = {
    "linear": "#4C78A8", "linear_i8": "#4C78A8", "expert_linear": "#8FA9D0", "matmul": "#4C78A8", "attend": "#E45756",
    "kv_append": "#F2A7A0", "row": "#72B7B2", "quantize_rows": "#54A24B", "elementwise": "#EECA3B",
    "gather": "#B279A2", "topk": "#9D755D", "view": "#DDDDDD",
}  # fmt: skip
"""Kind of group → colour; after Vega's Tableau palette."""


def draw_memory(plan: MemoryPlan, path: Path) -> None:
    """Draw each value as a rectangle: when it lives (groups, to the right) and where (bytes, upwards)."""
    figure, axes = new_figure(11, 5.5)
    names = sorted(plan.buffers)
    for i, name in enumerate(names):
        buffer = plan.buffers[name]
        span = buffer.last - buffer.first + 1
        colour = _PASTEL[i % len(_PASTEL)]
        box = Rectangle((buffer.first, buffer.offset), span, buffer.nbytes, fc=colour, ec="#444444", lw=0.4)
        axes.add_patch(box)
        if len(names) <= _LABELLED and buffer.nbytes > plan.arena_bytes / 50:
            at = (buffer.first + span / 2, buffer.offset + buffer.nbytes / 2)
            axes.text(*at, name, ha="center", va="center", fontsize=5, clip_on=True)
    axes.axhline(plan.arena_bytes, color="#333333", lw=1)
    axes.axhline(plan.lower_bound_bytes, color="#E45756", lw=1, ls="--")
    last = max((b.last for b in plan.buffers.values()), default=0)
    axes.set(xlim=(0, last + 1), ylim=(0, plan.arena_bytes * 1.05 + 1), xlabel="group of the step", ylabel="bytes")
    sizes = ", ".join(f"{k} = {v}" for k, v in plan.bounds.items())
    axes.set_title(
        f"arena {plan.arena_bytes:,} bytes ({plan.ratio:.3f} of the lower bound, dashed), "
        f"{len(names)} values, at {sizes}",
        fontsize=9,
    )
    save_figure(figure, path)


def draw_graph(graph: Graph, plan: FusionPlan, path: Path) -> None:
    """Draw the kernels and what flows between them; layers that repeat are drawn once, with their number."""
    drawn = layout(graph, plan)
    figure, axes = new_figure(max(5.0, 2.6 * drawn.width), max(4.0, 0.8 * drawn.height))
    axes.axis("off")
    axes.set(xlim=(-drawn.width / 2 - 0.2, drawn.width / 2 + 0.2), ylim=(-drawn.height - 0.2, 1.2))
    if drawn.repeated:
        _draw_repeat(axes, drawn)
    for source, target, carried in drawn.edges:
        _draw_edge(axes, drawn.positions[source], drawn.positions[target], carried)
    for name, (x, y) in drawn.positions.items():
        _draw_group(axes, graph, drawn.groups[name], x, y)
    kinds = dict.fromkeys(g.kind for g in drawn.groups.values())
    axes.legend(handles=[Patch(color=colour(k), label=k) for k in kinds], fontsize=6, loc="upper right")
    axes.set_title(f"{graph.name}: {len(plan.kernels)} kernels", fontsize=10)
    save_figure(figure, path)


_PASTEL = ("#BAB0AC", "#9ECAE9", "#FFBF79", "#88D27A", "#F2CF5B", "#FF9D98", "#D6A5C9", "#D8B5A5", "#83BCB6")
_LABELLED = 60


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A picture of that many inches with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture in the format of its suffix."""
    # No date and fixed ids, so that the same plan gives the same bytes.
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "cosyn", "svg.fonttype": "none"}):
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=130, metadata=metadata)


def colour(kind: str) -> str:
    """The colour of a kind of group."""
    return COLOURS.get(kind, "#CCCCCC")


def _draw_group(axes: Axes, graph: Graph, group: Group, x: float, y: float) -> None:
    box = FancyBboxPatch(
        (x - 0.42, y - 0.28),
        0.84,
        0.56,
        boxstyle="round,pad=0.02",
        fc=colour(group.kind),
        ec="#444444",
        lw=0.6,
    )
    axes.add_patch(box)
    ops = " ".join(dict.fromkeys(graph.producers[n].op for n in group.nodes if graph.producers[n].op != "scalar"))
    result = print_type(graph.types[group.outputs[0]]) if group.outputs else ""
    axes.text(x, y + 0.08, ops if len(ops) < 34 else ops[:32] + "…", ha="center", va="center", fontsize=6)
    axes.text(x, y - 0.13, result, ha="center", va="center", fontsize=5, color="#222222")


def _draw_edge(axes: Axes, start: tuple[float, float], end: tuple[float, float], carried: bool) -> None:
    """An arrow; `carried` from one repetition to the next is dashed and bends around."""
    (x0, y0), (x1, y1) = start, end
    bend = 0.35 if carried else (0.25 if y0 - y1 > 1.5 and abs(x0 - x1) < 0.5 else 0.0)
    arrow = FancyArrowPatch(
        (x0, y0 + (0.3 if carried else -0.3)), (x1, y1 + (-0.3 if carried else 0.3)),
        connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=7, lw=0.7,
        color="#999999" if carried else "#555555", ls="--" if carried else "-",
    )  # fmt: skip
    axes.add_patch(arrow)


def _draw_repeat(axes: Axes, drawn: Layout) -> None:
    ys = [drawn.positions[n][1] for n in drawn.repeated]
    low, high = min(ys) - 0.45, max(ys) + 0.45
    box = Rectangle((-drawn.width / 2, low), drawn.width, high - low, fc="#F7F7F7", ec="#BBBBBB", ls="--", lw=0.8)
    axes.add_patch(box)
    axes.text(-drawn.width / 2 + 0.05, high - 0.15, f"× {drawn.repeats}", fontsize=11, color="#777777", va="top")
