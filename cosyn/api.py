"""The Python interface: `cosyn.compile` and `cosyn.load`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cosyn.accelerator_target import resolve_target
from cosyn.console import Console
from cosyn.runtime import LanguageModel, load
from cosyn.targets import Target

if TYPE_CHECKING:
    from cosyn.passes.recipe import Recipe

__all__ = ["LanguageModel", "compile", "load"]


def compile(
    model: str | Path,
    output: str | Path,
    *,
    target: str | Target = "cpu",
    recipe: str | Recipe | None = None,
    max_seq: int | None = None,
    prefill_chunk: int = 128,
    random_weights: int | None = None,
    tuned: bool = True,
    quiet: bool = True,
) -> Path:
    """Compile `model` into the artifact folder `output`, and return that folder.

    `model`: a Hugging Face folder, a config.json, or `package.module:factory`. `target` and `recipe`: names,
    or paths of YAML files; no recipe keeps the checkpoint's precision. `max_seq`: longest sequence in tokens.
    `random_weights`: a seed, in place of a checkpoint. `tuned`: use what `cosyn tune` measured here.
    Raises the errors that `cosyn compile` prints.
    """
    from cosyn.codegen.compiler import CompileRequest, compile_model
    from cosyn.passes.recipe import load_recipe
    from cosyn.precision import own_recipe
    from cosyn.tuned_choices import tuned_choices

    chosen = resolve_target(target) if isinstance(target, str) else target
    if recipe is None:
        recipe = own_recipe(str(model))[0]
    request = CompileRequest(
        model=str(model),
        target=chosen,
        recipe=load_recipe(recipe) if isinstance(recipe, str) else recipe,
        output=Path(output),
        max_seq=max_seq,
        prefill_chunk=prefill_chunk,
        random_weights=random_weights,
        choices=tuned_choices(chosen)[0] if tuned else None,
    )
    with Console(quiet=quiet).steps() as progress:
        compile_model(request, progress)
    return request.output
