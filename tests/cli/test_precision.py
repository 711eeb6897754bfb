"""The recipe for a model when none is asked for: its own precision."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from cosyn.precision import own_recipe


def folder(tmp_path: Path, dtypes: list[str], config: dict[str, str]) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(config))
    header = json.dumps({f"w{i}": {"dtype": d, "shape": [1], "data_offsets": [0, 4]} for i, d in enumerate(dtypes)})
    if dtypes:
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("dtypes", "config", "recipe"),
    [
        (["F32"], {"dtype": "bfloat16"}, "fp32"),
        (["BF16", "BF16", "F32"], {}, "bf16"),
        (["F16"], {}, "fp16"),
        ([], {"torch_dtype": "bfloat16"}, "bf16"),
        ([], {"dtype": "float16"}, "fp16"),
        ([], {}, "fp32"),
    ],
)
def test_the_checkpoint_decides_then_the_config(tmp_path, dtypes, config, recipe: str) -> None:
    assert own_recipe(str(folder(tmp_path, dtypes, config)))[0] == recipe


def test_a_config_alone(tmp_path) -> None:
    path = folder(tmp_path, [], {"dtype": "bfloat16"}) / "config.json"
    assert own_recipe(str(path)) == ("bf16", "bfloat16 in config.json")


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\xff" * 32])
def test_damaged_files_are_left_to_the_importer(tmp_path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert own_recipe(str(tmp_path)) == ("fp32", "no stated precision")


def test_a_module_gets_fp32() -> None:
    assert own_recipe("package.module:factory")[0] == "fp32"
