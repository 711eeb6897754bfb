"""The closed-form estimate beside the cycle simulator on compiled programs: the table of docs/fpga_estimate.md.

python benchmarks/fpga_estimate.py            # the models of two layers and the small one
python benchmarks/fpga_estimate.py --full     # and LLaMA2-7B with all 32 layers
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.estimate import Design, estimate_step, operations
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import registers_for
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.timed import TimedRun
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.random_model import LLAMA2_7B
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.frontend import import_model
from cosyn.ir.graph import Graph
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 256
OPT_6_7B: Mapping[str, object] = {
    "model_type": "opt", "hidden_size": 4096, "ffn_dim": 16384, "num_attention_heads": 32, "vocab_size": 50272,
    "max_position_embeddings": 2048, "word_embed_proj_dim": 4096, "do_layer_norm_before": True,
    "activation_function": "relu",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """Cycles of one step, simulated and estimated."""

    simulated: int
    estimated: float

    @property
    def difference(self) -> str:
        return f"{self.estimated / self.simulated - 1:+.1%}".replace("-", "−").replace("%", " %")


def compare(graph: Graph, config: AcceleratorConfig, tokens: int, position: int) -> Row:
    """A step of `tokens` tokens at `position`."""
    layout = Layout(make_plan(config, graph, LONGEST))
    registers = registers_for(config, position, tokens, layout.rope_row_stripes)
    run = TimedRun(config, compile_step(layout, tokens).program(), register_file(registers), None).run()
    step = estimate_step(operations(graph), Design.of(config), tokens=tokens, position=position)
    return Row(run.cycles, float(step.cycles))


def graph_of(shape: Mapping[str, object] | Path, recipe: str, layers: int = 0) -> Graph:
    """The lowered graph of a shape, or of a configuration file."""
    with tempfile.TemporaryDirectory() as folder:
        file = shape if isinstance(shape, Path) else Path(folder) / "config.json"
        if not isinstance(shape, Path):
            file.write_text(json.dumps({**shape, "num_hidden_layers": layers}), encoding="utf-8")
        imported = import_model(file)
    return run_passes(imported.graph, passes(Options(load_recipe(recipe), 8), imported.max_seq))[0]


def changed(name: str, **fields: int) -> tuple[str, AcceleratorConfig]:
    """A shipped configuration with other values, and what to call it."""
    return f"{name}, {', '.join(f'{n} {v:,}' for n, v in fields.items())}", replace(load_config(name), **fields)


def lines(full: bool) -> Iterator[str]:
    """The table's rows."""
    u280 = ("u280", load_config("u280"))
    deeper = changed("u280", weight_ring_words=3584)
    longer = changed("u280", weight_ring_words=3584, vector_lines=28672)
    llama, opt = graph_of(LLAMA2_7B, "w4a8_g32", 2), graph_of(OPT_6_7B, "w4a8_g32", 2)
    cases = [
        ("LLaMA2-7B, 2 layers and head", *u280, llama, 1, 128),
        ("LLaMA2-7B, 2 layers and head", *longer, llama, 8, 120),
        ("OPT-6.7B, 2 layers and head", *u280, opt, 1, 128),
        ("OPT-6.7B, 2 layers and head", *deeper, opt, 4, 120),
    ]
    if full:
        cases.insert(0, ("LLaMA2-7B, 32 layers", *deeper, graph_of(LLAMA2_7B, "w4a8_g32", 32), 1, 128))
    for model, name, config, graph, tokens, position in cases:
        row = compare(graph, config, tokens, position)
        step = f"decode at {position}" if tokens == 1 else f"{tokens} tokens at {position}"
        yield f"| {model} | {name} | {step} | {row.simulated:,} | {row.estimated:,.0f} | {row.difference} |"
    small = graph_of(ROOT / "examples" / "models" / "pydoc-llama" / "config.json", "w4a8_g32")
    found = [
        compare(small, load_config(name), tokens, position)
        for name, longest in (("tiny", 4), ("odd", 8), ("u280", 8))  # what their vector buffers hold
        for tokens, position in ((1, 40), (1, 200), (longest, 64))
    ]
    ends = sorted(found, key=lambda row: row.estimated / row.simulated)
    yield (
        f"| 5 layers of 256 | tiny, odd, u280 | decode, 4 and 8 tokens | | | {ends[0].difference} …"
        f" {ends[-1].difference} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="with the model of 32 layers")
    print("| model, w4a8_g32 | configuration | step | simulator | estimate | |\n|---|---|---|---|---|---|")
    for line in lines(parser.parse_args().full):
        print(line, flush=True)


if __name__ == "__main__":
    main()
