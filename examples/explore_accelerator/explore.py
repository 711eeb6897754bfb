"""Explore accelerators for one model on one FPGA: a table and a picture of the front, FlightLLM marked.

    python examples/explore_accelerator/explore.py MODEL [--device u280] [--context 128] [--simulate 3] -o front

MODEL is what `cosyn estimate` takes: a config.json is enough. Sweeps accelerator parameters x weight bits x N:16 with
the closed-form estimate, keeps for every way of storing weights what no other point beats in tokens/s, watts and
DSPs, runs the best of them in the cycle simulator, and writes front.csv, front.md and front.png.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.estimate import WeightForm, operations
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.timed import TimedRun
from cosyn.accelerator_model.sweep import Evaluation, Points, Space, pareto_front
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.frontend import import_model
from cosyn.ir.graph import Graph
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from cosyn.targets.fpga_device import load_fpga_device

AXES = {
    "cores": [1, 2, 3, 4, 6, 8],
    "channels_per_core": [4, 8, 16],
    "channel_bytes": [32, 64],
    "ring_reads": [1, 2],
    "chain_length": [8, 16, 32],
    "lanes": [8, 16, 32],
    "token_replicas": [1, 2],
    "clock_hz": [200_000_000, 225_000_000],
}
FORMS = [
    *(WeightForm(bits, 32, kept) for bits in (2, 4) for kept in (16, 8, 4)),
    WeightForm(3, 128), WeightForm(4, 128), *(WeightForm(8, 0, kept) for kept in (16, 8, 4)),
]  # fmt: skip

FLIGHTLLM = {"tokens_per_second": 57.1, "watts": 45.0, "dsp": 6345.0}
"""Zeng et al., FPGA 2024: DSPs and watts as published, tokens/s as measured independently at 4.1 bits, context 128."""

COLUMNS = ("tokens_per_second", "watts", "joules", "bandwidth_share", "bits_per_weight", "dsp", "lut", "bram36", "uram")


def main() -> None:
    """Sweep, confirm, write."""
    arguments = _arguments()
    device = load_fpga_device(arguments.device)
    graph = _lowered(arguments.model, "w4a8_g32")
    base = load_config(arguments.device)

    begun = time.perf_counter()
    points = Evaluation(operations(graph), device, arguments.context)(Space(base, AXES, FORMS))
    print(f"{len(points):,} points in {time.perf_counter() - begun:.1f} s, {points.fits.sum():,} fit {device.name}")

    rows = _front(points)
    simulated = dict(_simulate(arguments.model, points, rows, arguments.context, arguments.simulate))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    _write_tables(points, rows, simulated, arguments.output)
    _draw(points, rows, arguments.output.with_suffix(".png"), device.name)
    print(f"wrote {arguments.output}.csv, .md and .png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder or config.json")
    parser.add_argument("--device", default="u280")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--simulate", type=int, default=3, help="points to confirm in the cycle simulator")
    parser.add_argument("-o", "--output", type=Path, default=Path("front"))
    return parser.parse_args()


def _lowered(model: str, recipe: str) -> Graph:
    imported = import_model(model)
    return run_passes(imported.graph, passes(Options(load_recipe(recipe), 8), imported.max_seq))[0]


def _front(points: Points) -> NDArray[np.int64]:
    """For each way of storing weights, what is beaten in nothing: fewer bits cost quality, which no column shows."""
    found = points.columns
    costs = np.stack([-found["tokens_per_second"], found["watts"], found["dsp"]], axis=1)
    fronts = [pareto_front(costs, points.fits & (points.form == form)) for form in range(len(points.forms))]
    return np.concatenate(fronts)


def _simulate(
    model: str, points: Points, rows: NDArray[np.int64], context: int, count: int
) -> Iterator[tuple[int, float]]:
    """Tokens a second of the fastest points of the usual form, in the cycle simulator on the compiled program."""
    usual = points.forms.index(WeightForm(4, 32))
    fastest = sorted(
        (r for r in rows if points.form[r] == usual), key=lambda r: -points.columns["tokens_per_second"][r]
    )
    graph = _lowered(model, str(points.forms[usual]))
    for row in fastest[:count]:
        config = points.configs[points.config[row]]
        layout = Layout(make_plan(config, graph, context + 1))
        try:
            program = compile_step(layout, 1).program()
        except FitError as error:
            print(f"{config.name}: {error}")
            continue
        registers = layout.registers(context, 1)
        cycles = TimedRun(config, program, register_file(registers), None).run().cycles
        estimated = float(points.columns["seconds"][row]) * config.clock_hz
        print(f"{config.name}: estimate {estimated:,.0f} cycles, simulator {cycles:,} ({estimated / cycles - 1:+.1%})")
        yield int(row), config.clock_hz / cycles


def _write_tables(points: Points, rows: NDArray[np.int64], simulated: dict[int, float], output: Path) -> None:
    header = ("configuration", "weights", *COLUMNS, "simulated_tokens_per_second")
    lines = [_cells(points, int(row), simulated) for row in rows]
    with output.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    text = [f"| {' | '.join(line)} |" for line in (header, ("---",) * len(header), *lines)]
    output.with_suffix(".md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _cells(points: Points, row: int, simulated: dict[int, float]) -> tuple[str, ...]:
    numbers = (f"{points.columns[name][row]:.4g}" for name in COLUMNS)
    confirmed = f"{simulated[row]:.4g}" if row in simulated else ""
    return (points.configs[points.config[row]].name, str(points.forms[points.form[row]]), *numbers, confirmed)


def _draw(points: Points, rows: NDArray[np.int64], file: Path, device: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5), sharey=True)
    for axis, name in zip(axes, ("watts", "dsp"), strict=True):
        axis.scatter(
            points.columns[name][points.fits], points.columns["tokens_per_second"][points.fits],
            s=1, color="0.85", label="points that fit",
        )  # fmt: skip
        for number, form in enumerate(_shown(points, rows)):
            mine = rows[points.form[rows] == form]
            order = mine[np.argsort(points.columns[name][mine])]
            axis.plot(points.columns[name][order], points.columns["tokens_per_second"][order], ".",
                      color=pyplot.get_cmap("tab20")(number), label=str(points.forms[form]))  # fmt: skip
        axis.plot(FLIGHTLLM[name], FLIGHTLLM["tokens_per_second"], "k*", markersize=12, label="FlightLLM, measured")
        axis.set_xlabel({"watts": "watts (from stated energies)", "dsp": "DSPs"}[name])
        axis.grid(color="0.93")
    axes[0].set_ylabel("decoded tokens/s, batch 1 (estimate)")
    axes[1].legend(fontsize=7)
    figure.suptitle(f"Accelerators on {device}: the front for each way of storing weights")
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def _shown(points: Points, rows: NDArray[np.int64]) -> Sequence[int]:
    return sorted({int(f) for f in points.form[rows]}, key=lambda f: points.forms[f].bits_per_weight)


if __name__ == "__main__":
    main()
