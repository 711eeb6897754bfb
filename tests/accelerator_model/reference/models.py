"""Graphs and reference models for the tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from cosyn.accelerator_model.reference import QuantizedWeights, ReferenceModel
from cosyn.ir.dtype import DType
from cosyn.ir.frontend import ImportedModel, import_model
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import Interpreter
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from cosyn.passes.rtn import decode_rtn, quantize_rtn

SHIPPED = Path(__file__).resolve().parents[3] / "examples/models/pydoc-llama"


@cache
def imported(folder: Path, max_seq: int = 512) -> ImportedModel:
    return import_model(folder, max_seq=max_seq)


def compiled(model: ImportedModel, recipe: str, max_seq: int = 512, **options: int) -> Graph:
    """The graph after all passes, with an INT8 cache as the accelerator has it (fp32: as it is)."""
    chosen = load_recipe(recipe)
    if recipe != "fp32":
        chosen = replace(chosen, kv=DType.I8)
    return run_passes(model.graph, passes(Options(chosen, max_out=max_seq, **options), max_seq))[0]


def reference(model: ImportedModel, recipe: str, lanes: int = 4, max_seq: int = 512, **options: int) -> ReferenceModel:
    assert model.weights is not None
    graph = compiled(model, recipe, max_seq, **options)
    return ReferenceModel(graph, QuantizedWeights(graph, model.weights.load, quantize_rtn), lanes)


def in_floats(model: ImportedModel, recipe: str, max_seq: int = 512, **options: int) -> Interpreter:
    """The same recipe computed in floating point."""
    assert model.weights is not None
    return Interpreter(compiled(model, recipe, max_seq, **options), model.weights.load, stored=decode_rtn)


def float_logits(model: Interpreter, ids: list[int]) -> np.ndarray:
    n = len(ids)
    inputs = {"token_ids": ids, "positions": np.arange(n), "slots": np.zeros(n, int), "out_rows": np.arange(n)}
    (logits,) = model.run({k: np.asarray(v) for k, v in inputs.items()})
    return logits


def nats(logits: np.ndarray, targets: list[int]) -> float:
    """Negative log-likelihood of `targets`, each after the logits of its row."""
    logits = logits.astype(np.float64)
    top = logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(targets)), targets]).sum())
