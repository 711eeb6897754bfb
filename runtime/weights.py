"""An artifact's packed weights: mapped from the file or read into huge pages, and handed to kernels as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.tensor_file import TensorFile, TensorSpec
from cosyn.runtime.tensor_memory import Memory

WEIGHTS_FILE = "weights.safetensors"


def load_weights(folder: Path, specs: Sequence[TensorSpec], memory: Memory, *, in_huge_pages: bool) -> list[Any]:
    """The tensors that entry points take, in call order.

    ArtifactError where the file does not hold what it should.
    """
    file = TensorFile(folder / WEIGHTS_FILE, in_huge_pages=in_huge_pages)
    stored = {spec.name: spec for spec in file.specs}
    for spec in specs:
        if stored.get(spec.name) != spec:
            found = _show(stored[spec.name]) if spec.name in stored else "nothing"
            raise ArtifactError(
                f"{WEIGHTS_FILE}: {spec.name}: expected {_show(spec)}, found {found}",
                "compile the artifact again",
            )
    return [memory.upload(file.array(spec.name)) for spec in specs]


def _show(spec: TensorSpec) -> str:
    return f"{spec.dtype}{list(spec.shape)}"
