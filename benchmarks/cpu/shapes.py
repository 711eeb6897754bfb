"""The shapes that are measured, and one random model of each that every engine converts from."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHAPES = Path(__file__).resolve().parents[1] / "shapes"
MAX_SEQ = 2048
_STD = 0.02
_SEED = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes, as `config.json` calls them."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool
    rms_norm_eps: float
    rope_theta: float

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def kv_values_per_position(self) -> int:
        """Keys and values that one position of all layers holds."""
        return 2 * self.num_hidden_layers * self.num_key_value_heads * self.head_dim

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of each tensor of the checkpoint."""
        hidden, kv = self.hidden_size, self.num_key_value_heads * self.head_dim
        yield "model.embed_tokens.weight", (self.vocab_size, hidden)
        for i in range(self.num_hidden_layers):
            layer = f"model.layers.{i}"
            yield f"{layer}.input_layernorm.weight", (hidden,)
            for part, rows in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden)):
                yield f"{layer}.self_attn.{part}_proj.weight", (rows, hidden)
            yield f"{layer}.post_attention_layernorm.weight", (hidden,)
            for part in ("gate", "up"):
                yield f"{layer}.mlp.{part}_proj.weight", (self.intermediate_size, hidden)
            yield f"{layer}.mlp.down_proj.weight", (hidden, self.intermediate_size)
        yield "model.norm.weight", (hidden,)
        if not self.tie_word_embeddings:
            yield "lm_head.weight", (self.vocab_size, hidden)


def load_shape(name: str) -> Shape:
    """The shape of `benchmarks/shapes/NAME.json`."""
    config = json.loads((SHAPES / f"{name}.json").read_text(encoding="utf-8"))
    return Shape(name, **{f: config[f] for f in Shape.__slots__ if f != "name"})


def shape_names() -> list[str]:
    """All shapes there are, the largest first."""
    return sorted((p.stem for p in SHAPES.glob("*.json")), key=lambda n: -load_shape(n).hidden_size)


def write_random_model(shape: Shape, folder: Path) -> Path:
    """A Hugging Face folder with weights N(0, 0.02) in bf16, made once; returns it."""
    path = folder / "model.safetensors"
    if path.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SHAPES / f"{shape.name}.json", folder / "config.json")
    unfinished = path.with_suffix(".part")
    _write_weights(shape, unfinished)
    unfinished.rename(path)
    return folder


def read_random_model(shape: Shape, folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values (bf16 as uint16) of each tensor that `write_random_model` wrote."""
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
    data = np.memmap(path, np.uint16, "r", offset=8 + length)
    start = 0
    for name, size in shape.tensors():
        count = int(np.prod(size))
        yield name, data[start : start + count].reshape(size)
        start += count


def _write_weights(shape: Shape, path: Path) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, size in shape.tensors():
        start, end = end, end + 2 * int(np.prod(size))
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.default_rng(_SEED)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, size in shape.tensors():
            # Norms scale by 1, as those of a trained model roughly do.
            values = generator.standard_normal(size, np.float32) * _STD if len(size) > 1 else np.ones(size, np.float32)
            file.write((values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes())
