"""The whole program of a one-layer model, as text, beside the one that is known to be right."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from cosyn.accelerator_model.isa import Load, MatrixInstruction, Ring, assemble
from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from tests.architectures import CONFIGS, save_folder
from tests.codegen.fpga.fpga_models import lowered

GOLDEN = Path(__file__).parent / "one_layer.txt"


def _one_layer(folder: Path) -> Path:
    from transformers import AutoModelForCausalLM

    config = CONFIGS["llama"]()
    config.num_hidden_layers, config.hidden_size, config.intermediate_size = 1, 16, 24
    config.num_attention_heads, config.num_key_value_heads, config.head_dim, config.vocab_size = 2, 1, 8, 40
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def test_the_program_of_one_layer(tmp_path: Path) -> None:
    graph, _ = lowered(_one_layer(tmp_path), "w8a8", 32)
    program = compile_step(Layout(make_plan(load_config("tiny"), graph, 32)), 1).program()
    (core,) = program.cores
    lines = [f"{i.assembly()}  ; {node}" for i, node in zip(core.instructions, core.nodes, strict=True)]
    text = "\n".join(lines) + "\n"
    if os.environ.get("COSYN_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
    for line, instruction in zip(lines, core.instructions, strict=True):
        assert assemble(line.partition("  ;")[0]).encode() == instruction.encode()


def test_weights_come_before_the_cache_and_in_the_order_of_their_readers(tmp_path: Path) -> None:
    save_folder("llama", tmp_path)
    graph, _ = lowered(tmp_path, "w8a8", 64)
    program = compile_step(Layout(make_plan(load_config("tiny"), graph, 64)), 1).program()
    (core,) = program.cores
    for ring in Ring:
        loads = [n.partition(":")[0] for i, n in zip(core.instructions, core.nodes, strict=True)
                 if isinstance(i, Load) and i.target == ring]  # fmt: skip
        readers = [n.partition(":")[0] for i, n in zip(core.instructions, core.nodes, strict=True)
                   if isinstance(i, MatrixInstruction) and i.ring == ring]  # fmt: skip
        assert list(dict.fromkeys(loads)) == list(dict.fromkeys(readers))
    order = [n for i, n in zip(core.instructions, core.nodes, strict=True) if isinstance(i, Load)]
    first_keys = next(k for k, n in enumerate(order) if n.startswith("attention: scales"))
    # The output projection's weights wait in the ring while the step's own keys are stored.
    assert order.index("linear_3: weights") < first_keys
