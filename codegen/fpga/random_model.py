"""A model from its configuration alone, lowered and placed: nothing is quantized, so any size takes seconds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.codegen.block_mask import KEY, LoadedMask
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.frontend import import_model
from cosyn.ir.interpreter import ConstantEvaluator
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe

LLAMA2_7B: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
"""LLaMA2-7B as it is published."""


class RandomModel(NamedTuple):
    """Where everything of a model lies, and the weights that stay floats, by their key."""

    layout: Layout
    load: Callable[[str], Any]


def place_model(
    shape: Mapping[str, Any],
    config: AcceleratorConfig,
    recipe: str,
    max_seq: int,
    seed: int,
    *,
    window: int = 0,
    sinks: int = 0,
    mask: LoadedMask | None = None,
) -> RandomModel:
    """The model that a `config.json` of content `shape` describes, for up to `max_seq` positions.

    `window`, `sinks` and `mask` as of `cosyn compile`.
    """
    with tempfile.TemporaryDirectory(prefix="cosyn-") as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(dict(shape)), encoding="utf-8")
        model = import_model(path, max_seq=max_seq, random_weights=seed)
    options = Options(
        load_recipe(recipe), window=window, sinks=sinks, block_mask=mask.mask if mask is not None else None
    )
    graph, _ = run_passes(model.graph, passes(options, max_seq))

    def load(key: str) -> Any:
        return mask.values if mask is not None and key == KEY else model.weights.load(key)

    evaluator = ConstantEvaluator(graph, load)
    return RandomModel(Layout(make_plan(config, graph, max_seq, evaluator.get)), load)
