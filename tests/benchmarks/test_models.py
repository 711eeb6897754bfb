"""The random model that every engine converts from, and cosyn's own side of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.cpu import shapes
from benchmarks.cpu.engines import read_bandwidth
from benchmarks.cpu.engines.cosyn_engine import Cosyn
from benchmarks.cpu.engines.gguf_layout import gguf_name, in_pairs
from benchmarks.cpu.engines.read_bandwidth import ReadBandwidth
from benchmarks.cpu.measurement import parse_test
from benchmarks.cpu.shapes import Shape, load_shape, read_random_model, shape_names, write_random_model

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 80,
    "tie_word_embeddings": False, "max_position_embeddings": 2048, "hidden_act": "silu", "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shape:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "tiny.json").write_text(json.dumps(TINY), encoding="utf-8")
    monkeypatch.setattr(shapes, "SHAPES", tmp_path / "shapes")
    return load_shape("tiny")


def test_the_shapes_that_are_measured() -> None:
    assert shape_names() == ["1.1B", "0.5B", "15M"]
    large = load_shape("1.1B")
    assert sum(int(np.prod(s)) for _, s in large.tensors()) == 1_100_048_384
    assert large.kv_values_per_position == 2 * 22 * 4 * 64


@pytest.mark.parametrize("tied", [False, True])
def test_the_model_is_what_transformers_expects(tiny: Shape, tmp_path: Path, tied: bool) -> None:
    text = json.dumps(TINY | {"tie_word_embeddings": tied})
    (shapes.SHAPES / "tiny.json").write_text(text, encoding="utf-8")
    shape = load_shape("tiny")
    folder = write_random_model(shape, tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    wanted = {n: tuple(t.shape) for n, t in model.state_dict().items() if not (tied and n == "lm_head.weight")}
    assert {n: tuple(t.shape) for n, t in stored.items()} == wanted
    for name, values in read_random_model(shape, folder):
        assert np.array_equal(values, stored[name].view(dtype=__import__("torch").uint16).numpy()), name
    table = stored["model.embed_tokens.weight"].float()
    assert 0.015 < float(table.std()) < 0.025


def test_names_in_gguf() -> None:
    names = [gguf_name(n) for n, _ in load_shape("15M").tensors()]
    assert len(set(names)) == len(names)
    assert names[:3] == ["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight"]


def test_rows_of_q_and_k_turn_the_same_in_pairs_as_in_halves(tiny: Shape) -> None:
    """The rotary embedding over neighbours, of rows put in pairs, gives what that over halves does, put in pairs."""
    size = tiny.head_dim
    rows = np.arange(tiny.hidden_size, dtype=np.float64)[:, None] + 1
    name = "model.layers.0.self_attn.q_proj.weight"
    angles = np.linspace(0.1, 1.0, size // 2)
    heads = rows.reshape(-1, size)
    first, second = heads[:, : size // 2], heads[:, size // 2 :]
    cos, sin = np.cos(angles), np.sin(angles)
    halves = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=1).reshape(-1, 1)
    paired = in_pairs(tiny, name, rows).reshape(-1, size // 2, 2)
    even, odd = paired[..., 0], paired[..., 1]
    turned = np.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(-1, 1)
    np.testing.assert_allclose(turned, in_pairs(tiny, name, halves))
    assert in_pairs(tiny, "model.layers.0.self_attn.v_proj.weight", rows).tolist() == rows.tolist()


def test_cosyn_is_measured(tiny: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_bandwidth, "BYTES", 1 << 20)
    engine = Cosyn()
    engine.prepare(tiny, "w8a8", tmp_path / "work")
    made = (tmp_path / "work" / "cosyn" / "w8a8" / "manifest.json").stat().st_mtime_ns
    loaded = engine.load(tiny, "w8a8", tmp_path / "work", 1)
    linears = 2 * (32 * (32 + 16 + 16 + 32) + 3 * 32 * 48) + 80 * 32
    # One byte per weight of the linears and the head, besides scales and norms.
    assert linears < loaded.weight_bytes < 1.5 * linears
    assert loaded.kv_bytes_per_position == 2 * tiny.kv_values_per_position
    for name in ("pp16", "tg4", "tg4@20", "tg4@20", "pp16"):
        assert 0 < engine.measure(parse_test(name)) < 10
    engine.prepare(tiny, "w8a8", tmp_path / "work")
    assert (tmp_path / "work" / "cosyn" / "w8a8" / "manifest.json").stat().st_mtime_ns == made
    reader = ReadBandwidth()
    assert reader.load(tiny, "w8a8", tmp_path / "work", 1).weight_bytes == 1 << 20
    assert 0 < reader.measure(parse_test("pp1")) < 1
