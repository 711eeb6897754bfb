"""Which recipe a model gets when none is asked for: the one that keeps its checkpoint's own precision."""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path

_RECIPES = {
    "F32": "fp32",
    "F16": "fp16",
    "BF16": "bf16",
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
}


def own_recipe(model: str) -> tuple[str, str]:
    """The recipe that loses nothing of `model`, and what that was read from.

    The header of the first weight file decides, then `config.json`; a module or an unreadable folder gets
    `fp32` (what is wrong with the folder is for the importer to say).
    """
    folder = Path(model)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
        stored = _stored_type(file)
        if stored in _RECIPES:
            return _RECIPES[stored], f"{stored} weights in {file.name}"
    config = folder / "config.json" if folder.is_dir() else folder
    if config.suffix == ".json":
        declared = _declared_type(config)
        if declared in _RECIPES:
            return _RECIPES[declared], f"{declared} in {config.name}"
    return "fp32", "no stated precision"


def _stored_type(file: Path) -> str:
    """The most common element type in the header of a safetensors file; empty where it cannot be read."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, 100 << 20)))
        kinds = Counter(entry["dtype"] for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return ""
    return kinds.most_common(1)[0][0] if kinds else ""


def _declared_type(config: Path) -> str:
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    found = (data.get("dtype") or data.get("torch_dtype") or "") if isinstance(data, dict) else ""
    return str(found)
