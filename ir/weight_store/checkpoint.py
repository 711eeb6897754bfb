"""Opens the safetensors files of a Hugging Face folder: one file, or shards with an index."""

from __future__ import annotations

import json
from pathlib import Path

from cosyn.ir.errors import ModelError, WeightError
from cosyn.ir.weight_store.safetensors_file import SafetensorsFile
from cosyn.ir.weights import OverlaidWeights

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def open_checkpoint(folder: Path) -> OverlaidWeights:
    """The tensors of a model folder under the names that its files give them.

    ModelError where the folder has no safetensors; WeightError for a missing or truncated shard.
    """
    if (folder / INDEX).exists():
        return _sharded(folder)
    if (folder / SINGLE).exists():
        file = SafetensorsFile(folder / SINGLE)
        _ = file.entries  # a damaged file is reported now, not at the first tensor
        return OverlaidWeights((file,))
    found = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".gguf", ".safetensors"))
    raise ModelError(
        f"{folder} holds no {SINGLE} and no {INDEX}"
        + (f", only {', '.join(found)}; convert the weights to safetensors" if found else "")
        + ". To lower the architecture alone, give its config.json with random weights"
    )


def _sharded(folder: Path) -> OverlaidWeights:
    try:
        index = json.loads((folder / INDEX).read_text())
        wanted: dict[str, str] = index["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightError(f"{INDEX} is not an index of shards: {error!r}; expected JSON with weight_map") from error
    names = sorted(set(wanted.values()))
    absent = [name for name in names if not (folder / name).exists()]
    if absent:
        raise WeightError(
            f"{len(absent)} of {len(names)} shards are missing from {folder}: {', '.join(absent)}. "
            f"{INDEX} names them; download them again"
        )
    files = {name: SafetensorsFile(folder / name) for name in names}
    for key, name in wanted.items():
        if key not in files[name].entries:
            raise WeightError(f"shard {name} lacks tensor {key}, which {INDEX} says it holds")
    return OverlaidWeights(tuple(files.values()))
