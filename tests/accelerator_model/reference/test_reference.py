"""The reference executes graphs: steps, architectures, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ModelError
from cosyn.accelerator_model.reference import QuantizedWeights, ReferenceModel
from cosyn.accelerator_model.reference.weights import int8_matrix
from cosyn.ir.errors import REQUEST_WRONG
from cosyn.ir.interpreter import Interpreter
from cosyn.ir.weight_format import WeightFormat
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from cosyn.passes.rtn import decode_rtn, quantize_rtn
from cosyn.passes.sparse_attention import BlockMask
from tests.accelerator_model.reference.models import SHIPPED, float_logits, imported, in_floats, reference
from tests.architectures import CONFIGS, save_folder

IDS = [1, 17, 250, 3, 44, 91, 7, 300, 12, 5, 60, 201, 33]


@pytest.mark.parametrize("recipe", ["w8a8", "w4a8_g32_8of16"])
def test_cutting_a_prompt_changes_no_bit(recipe: str) -> None:
    model = reference(imported(SHIPPED), recipe)
    whole = model.step(IDS)
    for cuts in ([1] * len(IDS), [8, 4, 1], [2, 11]):
        model.reset()
        rows, start = [], 0
        for size in cuts:
            rows.append(model.step(IDS[start : start + size]))
            start += size
        np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert model.position == len(IDS)


def test_rows_choose_logits() -> None:
    model = reference(imported(SHIPPED), "w8a8")
    whole = model.step(IDS)
    model.reset()
    np.testing.assert_array_equal(model.step(IDS, rows=[12, 3]), whole[[12, 3]])


def test_lanes_change_only_last_bits() -> None:
    """Sums have another order; quantization may carry a last bit on to a code, but not further."""
    four, sixteen = (reference(imported(SHIPPED), "w8a8", lanes).step(IDS) for lanes in (4, 16))
    assert (four != sixteen).any()
    assert np.abs(four - sixteen).max() < 0.05 * four.std()


def test_an_observer_sees_every_value() -> None:
    model = reference(imported(SHIPPED), "w8a8")
    seen = []
    model.step(IDS, observe=lambda node, results: seen.append((node.name, [r.shape for r in results])))
    values = [n.name for n in model.graph.nodes if n.op != "kv_append"]
    assert [name for name, _ in seen] == values


def test_a_step_must_fit() -> None:
    model = reference(imported(SHIPPED), "w8a8")
    model.step(IDS)
    with pytest.raises(ModelError, match="takes 1 to 512 positions, found a step of 500 after 13"):
        model.step([1] * 500)
    with pytest.raises(ModelError, match="found a step of 0"):
        model.step([])


DENSE = [name for name in CONFIGS if "moe" not in name and name != "mixtral"]
ALWAYS = ("llama", "mistral", "qwen3", "gemma2", "gpt2", "opt", "bloom", "gpt_neox", "falcon", "granite")


@pytest.mark.parametrize("name", [n if n in ALWAYS else pytest.param(n, marks=pytest.mark.slow) for n in DENSE])
def test_architectures_follow_their_float_recipe(name: str, tmp_path: Path) -> None:
    save_folder(name, tmp_path)
    model = imported(tmp_path, 64)
    ids = [(5 * i + 3) % 131 for i in range(40)]
    found = reference(model, "w8a8", max_seq=64).step(ids)
    expected = float_logits(in_floats(model, "w8a8", 64), ids)
    exact = float_logits(in_floats(model, "fp32", 64), ids)
    spread = exact.std()
    # Queries and probabilities are INT8 here and floats there: a little beside what w8a8 costs anyway.
    assert np.sqrt(np.square(found - expected).mean()) < max(
        1.5 * np.sqrt(np.square(expected - exact).mean()), 0.02 * spread
    )


def sparse(mask: np.ndarray | None = None, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the shipped model with an attention pattern: on the accelerator, and with its recipe in floats."""
    model = imported(SHIPPED)
    assert model.weights is not None
    load = model.weights.load

    def read(key: str) -> np.ndarray:
        return load(key) if mask is None or key != "mask" else mask

    chosen = Options(load_recipe("w8a8_kv8"), max_out=64, **options)
    graph = run_passes(model.graph, passes(chosen, 64))[0]
    ids = [(7 * i + 3) % 500 for i in range(48)]
    ours = ReferenceModel(graph, QuantizedWeights(graph, read, quantize_rtn), 4)
    return ours.step(ids), float_logits(Interpreter(graph, read, stored=decode_rtn), ids)


@pytest.mark.parametrize("sinks", [0, 2])
def test_windows_and_sinks(sinks: int) -> None:
    ours, floats = sparse(window=8, sinks=sinks)
    dense = reference(imported(SHIPPED), "w8a8").step([(7 * i + 3) % 500 for i in range(48)])
    assert np.abs(ours - floats).max() < 0.1 * np.abs(dense - floats).max()


def test_block_masks() -> None:
    heads = int(next(n for n in imported(SHIPPED).graph.nodes if n.op == "attention").type.shape[1])
    mask = np.tril(np.ones((heads, 16, 16), bool)) & (np.random.default_rng(0).random((heads, 16, 16)) < 0.6)
    mask |= np.eye(16, dtype=bool)
    ours, floats = sparse(mask.astype(np.uint8), block_mask=BlockMask("mask", heads, 16, 4))
    dense = reference(imported(SHIPPED), "w8a8").step([(7 * i + 3) % 500 for i in range(48)])
    assert np.abs(ours - floats).max() < 0.1 * np.abs(dense - floats).max()


def test_everything_unsupported_is_named_at_once(tmp_path: Path) -> None:
    save_folder("mixtral", tmp_path)
    with pytest.raises(ModelError) as caught:
        reference(imported(tmp_path, 64), "w8a8", max_seq=64)
    text = str(caught.value)
    assert "cannot run" in text
    for op in ("softmax", "topk", "expert_linear", "mix_experts", "linear"):
        assert f" = {op} (model.layers." in text
    assert "%linear_i8" not in text
    assert caught.value.exit_code == REQUEST_WRONG


def test_float_weights_are_refused() -> None:
    with pytest.raises(ModelError, match=r"= linear .*its weight is not quantized to INT8 codes"):
        reference(imported(SHIPPED), "fp32")


@pytest.mark.parametrize("text", ["u8row:f32", "i4g32:f16"])
def test_formats_without_an_int8_form_are_refused(text: str) -> None:
    weight = quantize_rtn(np.ones((4, 64), np.float32), WeightFormat.parse(text))
    with pytest.raises(ModelError, match=f"@w: the accelerator multiplies INT8 codes .* found the format {text}"):
        int8_matrix("@w", weight)
