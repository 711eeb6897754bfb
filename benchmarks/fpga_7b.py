"""One decoded token of LLaMA2-7B on the RTL of a configuration at its real size: bit for bit the reference's.

Weights are random codes and scales in their stored form, the cache holds random keys and values. The step runs in
three ways - the graph in the accelerator's arithmetic, the program on the cycle simulator, and the RTL in Verilator -
whose logits, stores and retirements must agree in every bit. Writes benchmarks/results/fpga_7b_rtl.{json,md}.

    python benchmarks/fpga_7b.py                  # 32 layers on u280: about 4 GB of disk and half an hour or more
    python benchmarks/fpga_7b.py --layers 1       # one layer and the head
"""

from __future__ import annotations

import argparse
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import this_machine

from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.random_model import LLAMA2_7B, place_model
from cosyn.rtl_testbench.full_size.levels import run_levels
from cosyn.rtl_testbench.full_size.report import compare, table
from cosyn.rtl_testbench.full_size.step import RandomStep

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the step and write the results."""
    options = _options()
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:6.0f} s] {text}", flush=True)

    config = load_config(options.config)
    shape = {**LLAMA2_7B, "num_hidden_layers": options.layers, "vocab_size": options.vocabulary}
    model = place_model(shape, config, options.recipe, options.context, options.seed)
    step = RandomStep(model.layout, model.load, options.context - 1, [options.token], options.seed)
    bytes_ = sum(memory.stripes for memory in model.layout.maps) * config.stripe_bytes
    say(f"LLaMA2-7B, {options.layers} layers, {options.recipe}: {bytes_ / 1e9:.2f} GB on {config.name}")
    levels = run_levels(step, options.folder, timeout=options.timeout, say=say)
    rows = compare(step, levels)
    run = levels.step
    results = {
        "model": "LLaMA2-7B", "layers": options.layers, "vocabulary": options.vocabulary, "recipe": options.recipe,
        "configuration": config.name, "context": options.context, "seed": options.seed,
        "logits_bit_exact": True, "retirements_equal": len(run.retirements),
        "rtl_cycles": run.rtl_cycles, "simulated_cycles": run.simulated_cycles,
        "seconds": {
            "rtl": round(levels.rtl_seconds, 1), "cycle_simulator": round(levels.simulator_seconds, 1),
            "reference": round(levels.reference_seconds, 1), "all": round(time.monotonic() - begin, 1),
        },
        "rtl_cycles_per_second": round(levels.cycles_per_second),
        "milliseconds_at_clock": round(1e3 * run.rtl_cycles / config.clock_hz, 3),
        "machine": this_machine.describe(),
        "cycles": {
            kind: [
                {"name": r.name, "rtl": r.rtl, "simulated": r.simulated, "estimated": r.estimated} for r in found
            ]
            for kind, found in rows.items()
        },
    }  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "fpga_7b_rtl.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    lines = "\n".join(table(rows))
    (options.output / "fpga_7b_rtl.md").write_text(_text(results, lines), encoding="utf-8")
    print(lines)


def _text(results: dict[str, Any], lines: str) -> str:
    seconds = results["seconds"]
    what = (
        f"{results['layers']} layers and the head, vocabulary {results['vocabulary']}, {results['recipe']}, random"
        f" weights, context {results['context']}"
    )
    paragraphs = [
        f"`python benchmarks/fpga_7b.py` ran one decode step of {results['model']} ({what}) on"
        f" `{results['configuration']}` at its real size. The logits, everything stored to the cache, and the digests"
        f" of all {results['retirements_equal']:,} retired instructions are the same in the graph's reference, in the"
        " cycle simulator and on the RTL.",
        f"The RTL took {results['rtl_cycles']:,} cycles ({results['milliseconds_at_clock']} ms at the configuration's"
        f" clock); Verilator needed {seconds['rtl']:,.0f} s for them, {results['rtl_cycles_per_second']:,} cycles/s,"
        f" and everything together {seconds['all']:,.0f} s, on {results['machine']}.",
        "Cycles: of the whole step; busy cycles of each instruction class, summed over the cores; and for each layer"
        " from the end of the one before to its own. Percentages: simulator against RTL, estimate against simulator.",
    ]
    wrapped = [textwrap.fill(text, 118, break_on_hyphens=False) for text in paragraphs]
    return "\n\n".join(["# A token of LLaMA2-7B on the RTL", *wrapped, lines]) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="u280")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--recipe", default="w4a8_g128")
    parser.add_argument("--token", type=int, default=17)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=6 * 3600)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fpga_7b", help="of the memories")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
