"""Cycles of the RTL, the cycle simulator and the estimate side by side: in total, by instruction class, by layer.

For each model and configuration it runs `cosyn compile` and `cosyn verify`, which holds every instruction of a prompt
and of decoded tokens to the simulator's, and adds up the cycles of the steps. LLaMA2-7B comes from fpga_7b_rtl.json
(`python benchmarks/fpga_7b.py`). Ends with 1 where the simulator is further from the RTL than 2 % in total or 5 % in a
class. Writes benchmarks/results/fpga_cycles.{json,md}.

    python benchmarks/fpga_cycles.py ../shared/models/stories260K examples/models/pydoc-llama
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import this_machine

RESULTS = Path(__file__).resolve().parent / "results"
SEVEN = RESULTS / "fpga_7b_rtl.json"
TOTAL_BAR, CLASS_BAR = 0.02, 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity at three levels, added up over steps and cores; `kind`: total, class or layer."""

    kind: str
    name: str
    rtl: int
    simulated: int
    estimated: float | None

    @property
    def simulated_error(self) -> float:
        return self.simulated / self.rtl - 1 if self.rtl else 0.0

    @property
    def estimated_error(self) -> float | None:
        return self.estimated / self.rtl - 1 if self.estimated and self.rtl else None


@dataclass(frozen=True, slots=True)
class Part:
    """The steps of one kind of one model on one configuration."""

    title: str
    rows: tuple[Row, ...]

    def misses(self) -> Iterator[str]:
        """What is outside the bar."""
        for row in self.rows:
            bar = {"total": TOTAL_BAR, "class": CLASS_BAR}.get(row.kind)
            if bar is not None and abs(row.simulated_error) > bar:
                yield f"{self.title}: {row.name} of the simulator is {row.simulated_error:+.2%} from the RTL"


def main() -> int:
    """Run, write the results, and say what misses the bar."""
    options = _options()
    parts: list[Part] = []
    for model in options.models:
        for config in options.configs:
            steps = _verify(model, config, options)
            for name, chosen in (
                ("prompt", [s for s in steps if s["tokens"] > 1]),
                ("decode", [s for s in steps if s["tokens"] == 1]),
            ):
                if chosen:
                    sizes = sorted({s["tokens"] for s in chosen}, reverse=True)
                    counted = f"{len(chosen)} step{'s' * (len(chosen) > 1)}"
                    of = f" of {', '.join(map(str, sizes))} tokens" if name == "prompt" else ""
                    parts.append(
                        Part(f"{config}: {model.name}, {options.recipe}, {name} ({counted}{of})", _sum(chosen))
                    )
    if SEVEN.exists():
        parts.append(_seven(json.loads(SEVEN.read_text(encoding="utf-8"))))
    results = {
        "machine": this_machine.describe(),
        "prompt_tokens": options.prompt_tokens,
        "decode_tokens": options.decode_tokens,
        "parts": [asdict(part) for part in parts],
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "fpga_cycles.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.output / "fpga_cycles.md").write_text(_text(parts, options), encoding="utf-8")
    missed = [text for part in parts for text in part.misses()]
    for text in missed:
        print(text, file=sys.stderr)
    return 1 if missed else 0


def _verify(model: Path, config: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The steps that `cosyn verify` reports; RuntimeError where the RTL does something else than the simulator."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "artifact"
        _cosyn("compile", str(model), "--target", f"fpga:{config}", "--recipe", options.recipe, "-o", str(made))
        counts = ("--prompt-tokens", str(options.prompt_tokens), "--decode-tokens", str(options.decode_tokens))
        report = json.loads(_cosyn("verify", str(made), *counts, "--json"))
    if not report["agrees"]:
        raise RuntimeError(f"{model.name} on {config}: the RTL and the simulator differ: {report}")
    steps: list[dict[str, Any]] = report["steps"]
    print(f"{model.name} on {config}: {report['checked']} instructions agree", flush=True)
    return steps


def _cosyn(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "cosyn", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _sum(steps: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    """The rows of all steps added up, in the order of the first."""
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0])
    for step in steps:
        for kind, items in (("total", [step["total"]]), ("class", step["classes"]), ("layer", step["layers"])):
            for item in items:
                numbers = found[kind, item["name"]]
                for place, level in enumerate(("rtl", "simulated", "estimated")):
                    numbers[place] += item[level] or 0
    rows = (Row(*key, int(n[0]), int(n[1]), n[2] or None) for key, n in found.items())
    return tuple(row for row in rows if row.rtl or row.simulated)


def _seven(found: Mapping[str, Any]) -> Part:
    rows = [
        Row(kind, item["name"], item["rtl"], item["simulated"], item["estimated"])
        for kind, items in found["cycles"].items()
        for item in items
        if item["rtl"] or item["simulated"]
    ]
    what = f"{found['layers']} layers, {found['recipe']}, decode after {found['context'] - 1} tokens"
    return Part(f"{found['configuration']}: {found['model']}, {what}", tuple(rows))


def _text(parts: Sequence[Part], options: argparse.Namespace) -> str:
    intro = (
        f"`python benchmarks/fpga_cycles.py` ran a prompt of {options.prompt_tokens} tokens and"
        f" {options.decode_tokens} decoded ones on the RTL of each configuration, in lockstep with the cycle simulator;"
        " LLaMA2-7B is one token of `python benchmarks/fpga_7b.py`. Every retired instruction wrote the same on both."
        " Cycles: of all steps; busy cycles of each class, summed over the cores, SYS without those in which a core"
        " waits for others; of each layer, from the end of the one before to its own. Percentages are against the RTL."
        f" The estimate counts LD and ST while they move data, not while they wait. On {this_machine.describe()}."
    )
    lines = ["# Cycles at three levels", "", *textwrap.wrap(intro, 118, break_on_hyphens=False), ""]
    lines += ["| | RTL | simulator | | estimate | |", "|---|---:|---:|---:|---:|---:|"]
    lines += [_line(part.title, part.rows[0]) for part in parts]
    for part in parts:
        lines += ["", f"## {part.title}", "", "| | RTL | simulator | | estimate | |", "|---|---:|---:|---:|---:|---:|"]
        lines += [_line(row.name, row) for row in part.rows]
    return "\n".join(lines) + "\n"


def _line(name: str, row: Row) -> str:
    estimated = "" if row.estimated is None else f"{row.estimated:,.0f}"
    error = "" if row.estimated_error is None else f"{row.estimated_error:+.2%}"
    return f"| {name} | {row.rtl:,} | {row.simulated:,} | {row.simulated_error:+.2%} | {estimated} | {error} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--configs", nargs="+", default=["tiny", "odd"])
    parser.add_argument("--recipe", default="w8a8")
    parser.add_argument("--prompt-tokens", type=int, default=35)
    parser.add_argument("--decode-tokens", type=int, default=4)
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
