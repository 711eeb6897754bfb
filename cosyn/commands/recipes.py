"""`cosyn recipes`: the compressions that a model can be compiled with."""

from __future__ import annotations

from typing import Annotated

import typer

from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.console import Console, table

EXAMPLES = examples(
    ("every recipe, one line each", "cosyn recipes"),
    ("one recipe with its KV cache in 8 bits", "cosyn recipes w4a16_g32_kv8"),
    ("check a recipe of your own", "cosyn recipes ./mine.yaml"),
)


def command(
    name: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="One recipe to show, or a YAML file.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """List the recipes: how weights, activations and the KV cache are stored.

    Each name also takes a suffix for the KV cache: _kv8, _kv16 or _kv32.
    """
    from cosyn.passes.recipe import RECIPES, Recipe, load_recipe

    def as_data(recipe: Recipe) -> dict[str, object]:
        return {
            "name": recipe.name,
            "description": recipe.description,
            "bits_per_weight": recipe.bits_per_weight,
            "weights": str(recipe.weights),
            "tables": recipe.tables.value,
            "activations": recipe.activations,
            "kv": recipe.kv.value,
            "rules": [{"match": r.match, "storage": str(r.storage)} for r in recipe.rules],
        }

    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    chosen = list(RECIPES.values()) if name is None else [load_recipe(name)]
    rows = [(r.name, f"{r.bits_per_weight:g}", r.activations, r.kv.value, r.description) for r in chosen]
    data = {"recipes": [as_data(r) for r in chosen]} if name is None else as_data(chosen[0])
    console.result(data, table(("NAME", "BITS/WEIGHT", "ACTIVATIONS", "KV", "DESCRIPTION"), rows))
