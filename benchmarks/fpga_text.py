"""The RTL writes text: prompts and decoded tokens on the RTL of a configuration, held to the bit-exact reference.

For each model and recipe it runs what a user would type - `cosyn compile`, `cosyn run --engine rtl`,
`cosyn run --engine reference` and `cosyn verify` - and compares token ids. Ends with 1 when one differs or takes longer
than the time allowed. Writes benchmarks/results/fpga_text.{json,md}.

    python benchmarks/fpga_text.py ../shared/models/stories260K examples/models/pydoc-llama
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import this_machine

ROOT = Path(__file__).resolve().parents[1]

RECIPES = ("w8a8", "w4a8_g32", "w8a8_8of16")

PROMPTS = {
    "pydoc-llama": (
        "The for statement is used to iterate over the elements of a sequence (such as a string, tuple or list) or"
        " other iterable object. The"
    ),
}
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her friends and"
)
"""The prompt of models that PROMPTS does not name."""


@dataclass(frozen=True, slots=True)
class Text:
    """One model in one recipe."""

    model: str
    recipe: str
    prompt_tokens: int
    decoded_tokens: int
    same_ids: bool
    rtl_seconds: float
    """Wall time of `cosyn run --engine rtl`, simulation built."""
    rtl_cpu_seconds: float
    """Processor time of that command and of what it starts."""
    cycles: int
    simulation_cpu_seconds: float
    verified_instructions: int
    verify_seconds: float
    tables: tuple[dict[str, Any], ...]
    """Cycles on the RTL, in the simulator and by the estimate of the last step of each length, as `verify` has them."""
    text: str

    @property
    def cycles_per_second(self) -> float:
        """Cycles of the RTL per second of the simulating process, its start included."""
        return self.cycles / self.simulation_cpu_seconds


def main() -> int:
    """Run all and write the results; the exit code."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    texts = []
    build_seconds = _build(_compile(options, options.models[0], options.recipes[0]))
    for model in options.models:
        for recipe in options.recipes:
            found = _text(options, model, recipe)
            texts.append(found)
            print(
                f"{found.model} {found.recipe}: {'same ids' if found.same_ids else 'DIFFERENT IDS'},"
                f" {found.prompt_tokens} + {found.decoded_tokens} tokens in {found.rtl_seconds:.1f} s,"
                f" {found.cycles} cycles, {found.cycles_per_second:,.0f} per CPU second of the simulation;"
                f" verify: {found.verified_instructions} instructions in {found.verify_seconds:.0f} s",
                flush=True,
            )
    results = {
        "configuration": options.target, "machine": this_machine.describe(), "seconds_allowed": options.seconds,
        "first_run_seconds": round(build_seconds, 1), "runs": [asdict(t) for t in texts],
    }  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "fpga_text.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.output / "fpga_text.md").write_text(_page(options, results, texts), encoding="utf-8")
    return int(not all(t.same_ids and t.rtl_seconds <= options.seconds for t in texts))


def _build(artifact: Path) -> float:
    """Seconds of a command that needs the simulation: where none of this RTL is kept yet, it builds it."""
    begin = time.monotonic()
    _cosyn("run", str(artifact), "--engine", "rtl", "--prompt-ids", "1", "--max-new-tokens", "1", "--temperature", "0")
    return time.monotonic() - begin


def _text(options: argparse.Namespace, model: Path, recipe: str) -> Text:
    artifact = str(_compile(options, model, recipe))
    _build(Path(artifact))
    written = ("--prompt", PROMPTS.get(model.name, STORY), "--max-new-tokens", str(options.tokens))
    fixed = ("--temperature", "0", "--ignore-eos")
    begin, cpu = time.monotonic(), _child_cpu_seconds()
    rtl = _cosyn("run", artifact, "--engine", "rtl", *written, *fixed)
    seconds, cpu = time.monotonic() - begin, _child_cpu_seconds() - cpu
    reference = _cosyn("run", artifact, "--engine", "reference", *written, *fixed)
    begin = time.monotonic()
    verified = _cosyn("verify", artifact, "--prompt-tokens", "12", "--decode-tokens", "2")
    last = {step["tokens"]: step for step in verified["steps"]}
    return Text(
        model.name, recipe, rtl["prompt_tokens"], len(rtl["token_ids"]), rtl["token_ids"] == reference["token_ids"],
        round(seconds, 1), round(cpu, 1), rtl["cycles"], rtl["simulation_cpu_seconds"],
        verified["checked"], round(time.monotonic() - begin, 1), tuple(last.values()), rtl["text"],
    )  # fmt: skip


def _compile(options: argparse.Namespace, model: Path, recipe: str) -> Path:
    artifact: Path = options.folder / f"{model.name}-{recipe}"
    if not (artifact / "manifest.json").exists():
        _cosyn("compile", str(model), "--target", options.target, "--recipe", recipe, "-o", str(artifact))
    return artifact


def _cosyn(*words: str) -> dict[str, Any]:
    """What a command prints with --json; ends with its message if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "cosyn", *words, "--json", "--quiet"], stdout=subprocess.PIPE, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        raise SystemExit(f"cosyn {' '.join(words)}: {found.get('error', found)}")
    return found


def _child_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _page(options: argparse.Namespace, results: dict[str, Any], texts: list[Text]) -> str:
    words = " ".join(["python benchmarks/fpga_text.py", *(m.name for m in options.models)])
    paragraphs = [
        f"`{words}` compiled each model for `{results['configuration']}` and let the RTL, in Verilator, write"
        f' {options.tokens} tokens after a prompt with `cosyn run --engine rtl`. "Same ids": `--engine reference`, the'
        " bit-exact reference, wrote the same. `cosyn verify` then compared every instruction that retired in a prefill"
        " of 12 tokens and two decoded ones, and their logits, bit for bit.",
        f"Seconds are wall time of the whole command with the simulation built; the first command took"
        f" {results['first_run_seconds']:.0f} s, its build included if none was kept. CPU seconds are of the command"
        " and the simulation. Cycles per second are of the processor time of the simulating process."
        f" Machine: {results['machine']}.",
    ]
    lines = [
        "| model | recipe | prompt + decoded | same ids | seconds | CPU seconds | RTL cycles | cycles per CPU second |"
        " instructions verified | seconds |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for t in texts:
        lines.append(
            f"| {t.model} | `{t.recipe}` | {t.prompt_tokens} + {t.decoded_tokens} | {'yes' if t.same_ids else '**no**'}"
            f" | {t.rtl_seconds:.1f} | {t.rtl_cpu_seconds:.1f} | {t.cycles:,} | {t.cycles_per_second:,.0f}"
            f" | {t.verified_instructions:,} | {t.verify_seconds:.1f} |"
        )
    parts = ["# The RTL writes text", *(textwrap.fill(p, 118, break_on_hyphens=False) for p in paragraphs)]
    parts.append("\n".join(lines))
    parts.append("## Cycles on the RTL, in the simulator and by the estimate")
    parts.append("Percentages: simulator against RTL, estimate against simulator.")
    parts += [_table(t, step) for t in texts for step in t.tables]
    return "\n\n".join(parts) + "\n"


def _table(text: Text, step: dict[str, Any]) -> str:
    """The rows that `cosyn verify` shows for one step."""
    tokens = f"{step['tokens']} token{'s' * (step['tokens'] > 1)}, position {step['position']}"
    lines = [
        f"{text.model}, `{text.recipe}`: {tokens}",
        "",
        "| | RTL | simulator | | estimate | |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in [step["total"], *step["classes"], *step["layers"]]:
        if not row["rtl"]:
            continue
        simulated = f"{row['simulated']:,} | {row['simulated'] / row['rtl'] - 1:+.1%}"
        estimate = row["estimated"]
        known = estimate is not None and row["simulated"]
        estimated = f"{estimate:,.0f} | {estimate / row['simulated'] - 1:+.1%}" if known else " | "
        lines.append(f"| {row['name']} | {row['rtl']:,} | {simulated} | {estimated} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, default=[ROOT / "examples" / "models" / "pydoc-llama"])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--target", default="fpga:tiny")
    parser.add_argument("--tokens", type=int, default=32, help="decoded after the prompt")
    parser.add_argument("--seconds", type=float, default=300.0, help="allowed for a text on the RTL")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fpga_text", help="of the artifacts")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
