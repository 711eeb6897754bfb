"""Compiling models in tests, without the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.codegen.compiler import CompileRequest, CompileResult, compile_model
from cosyn.passes.recipe import load_recipe
from cosyn.targets import load_target


class Silent:
    """Progress that nobody watches."""

    def step(self, index: int, total: int, name: str) -> None:
        """Do nothing."""


def compile_folder(model: Path | str, output: Path, recipe: str = "fp32", **options: Any) -> CompileResult:
    """Compile `model` for this CPU into `output`."""
    target = load_target(options.pop("target", "cpu"))
    request = CompileRequest(str(model), target, load_recipe(recipe), output, **options)
    return compile_model(request, Silent())


def relative_error(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Largest difference over the largest expected magnitude."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
