"""Recipes: the precision of weights, activations and the KV cache, by name or from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import yaml

from cosyn.ir.dtype import DType
from cosyn.ir.errors import RequestError
from cosyn.ir.weight_format import BLOCK, KEPT, WeightFormat

Storage = WeightFormat | DType
"""How a weight is stored: quantized in a format, or as floats."""

T = TypeVar("T")

_FLOATS = {"f32": DType.F32, "f16": DType.F16, "bf16": DType.BF16}
_KV = {"kv32": DType.F32, "kv16": DType.F16, "kv8": DType.I8}


class RecipeError(RequestError):
    """A recipe that does not exist or does not make sense."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Weights whose name matches the glob `match` are stored as `storage`."""

    match: str
    storage: Storage


@dataclass(frozen=True, slots=True)
class Recipe:
    """What compression to apply.

    `weights` is how the matrices of linears and experts are stored, except where the first of `rules` whose
    glob matches the weight's name says otherwise; `tables` is the float type of embedding tables. Norms,
    biases and expert routers stay f32. `activations` "i8" quantizes each token's row on the fly before a
    linear whose weight is quantized; "bf16" rounds it to bf16 before a linear whose weight is bf16. `kv` is the
    element type of the KV cache. `density`, if not 0, is how many per cent of the weights of all matrices that no
    rule names are kept: each gets its own N of 16 (`assign_kept.py`).
    """

    name: str
    description: str
    weights: Storage
    tables: DType
    activations: Literal["float", "bf16", "i8"] = "float"
    kv: DType = DType.F16
    rules: tuple[Rule, ...] = ()
    density: int = 0

    def __post_init__(self) -> None:
        if not self.density:
            return
        if not 100 * min(KEPT) < self.density * BLOCK < 100 * BLOCK:
            raise RecipeError(
                f"recipe {self.name}: a density is a number of per cent between {100 * min(KEPT) // BLOCK + 1} and 99,"
                f" found {self.density}"
            )
        if isinstance(self.weights, DType) or self.weights.kept or not self.weights.sparse_form:
            raise RecipeError(
                f"recipe {self.name}: a density needs weights of which N of {BLOCK} can be kept, and chooses N itself;"
                f" expected weights such as i8row:f32 or i4g32u8:f32, found {_text(self.weights)}"
            )

    def storage(self, names: Iterable[str], columns: int) -> Storage:
        """How a matrix made from the weights `names`, with rows of `columns`, is stored.

        A group size that does not divide the row is replaced by `fitting_group`, except with integer scales, whose
        last group may be shorter. RecipeError where rules ask for different storage of weights that are parts of
        one matrix.
        """
        found = {self._named(name) for name in names}
        if len(found) > 1:
            raise RecipeError(f"recipe {self.name}: {sorted(names)} form one matrix but have different storage")
        storage = found.pop() if found else self.weights
        if isinstance(storage, DType) or storage.integer_scales:
            return storage
        return replace(storage, group_size=fitting_group(columns, storage.group_size))

    def _named(self, name: str) -> Storage:
        rule = self.rule(name)
        return self.weights if rule is None else rule.storage

    def rule(self, name: str) -> Rule | None:
        """The rule that says how the weight `name` is stored, if any."""
        return next((r for r in self.rules if fnmatchcase(name, r.match)), None)

    @property
    def bits_per_weight(self) -> float:
        """Bits per matrix element, scales and zero points included, for rows of 4096.

        With a density: where matrices keep the N next to it on either side.
        """
        if isinstance(self.weights, DType):
            return float(self.weights.bits)
        if not self.density:
            return self.weights.stored_bits(4096) / 4096
        choices = (*sorted(KEPT), BLOCK)
        bits = [replace(self.weights, kept=n % BLOCK).stored_bits(4096) / 4096 for n in choices]
        return float(np.interp(self.density, [100 * n / BLOCK for n in choices], bits))


def fitting_group(columns: int, wanted: int) -> int:
    """The largest divisor of `columns` that is a multiple of 4 in 16..wanted; 0 (whole row) if none is.

    Below 16 columns a 16-bit scale would cost more than a bit per weight.
    """
    return next((g for g in range(wanted, 15, -1) if columns % g == 0 and g % 4 == 0), 0)


def _recipe(name: str, description: str, weights: str, tables: str, **options: object) -> Recipe:
    return Recipe(name, description, _storage(weights, name), _FLOATS[tables], **options)  # type: ignore[arg-type]  # keywords of Recipe


def _storage(text: str, where: str) -> Storage:
    if text in _FLOATS:
        return _FLOATS[text]
    try:
        return WeightFormat.parse(text)
    except (ValueError, IndexError) as error:
        raise RecipeError(
            f"recipe {where}: expected a storage such as f16, bf16, i8row:f32, i4g32:f16 or u4g128:f16, found {text!r}"
        ) from error


RECIPES: Mapping[str, Recipe] = {
    r.name: r
    for r in (
        _recipe("fp32", "everything in 32-bit floats: the reference", "f32", "f32", kv=DType.F32),
        _recipe("bf16", "weights in bfloat16", "bf16", "bf16"),
        _recipe("fp16", "weights in 16-bit floats", "f16", "f16"),
        _recipe("w8a16_g128", "8-bit weights, one scale per 128; float activations", "i8g128:f16", "f16"),
        _recipe(
            "w8a8", "8-bit weights, one scale per row; each token's activations quantized on the fly",
            "i8row:f32", "f16", activations="i8",
        ),
        _recipe("w4a16_g32", "4-bit weights, one scale per 32; float activations", "i4g32:f16", "f16"),
        _recipe("w4a16_g128", "4-bit weights, one scale per 128; float activations", "i4g128:f16", "f16"),
        *(
            _recipe(
                f"w{bits}a8_g{group}",
                f"{bits}-bit weights, one integer scale per {group} and one scale per row; 8-bit activations and cache",
                f"i{bits}g{group}u8:f32", "f16", activations="i8", kv=DType.I8,
            )
            for bits, group in ((4, 32), (4, 128), (3, 128), (2, 32))
        ),
        _recipe(
            "bf16_a16", "weights in bfloat16; activations rounded to bfloat16 before each linear",
            "bf16", "bf16", activations="bf16",
        ),
    )
}  # fmt: skip
"""Recipes by name. Those with 8-bit activations also take a suffix for N:16 sparsity: `_8of16`, `_4of16`, `_2of16`, or
`_mixed75` for 75 % of the weights, N chosen for each matrix; and each one a suffix for the KV cache: `_kv8`, `_kv16` or
`_kv32`."""

_SPARSE = re.compile(rf"({'|'.join(map(str, KEPT))})of{BLOCK}|mixed(\d+)")


def load_recipe(text: str) -> Recipe:
    """The recipe that `text` names, or that the YAML file `text` holds; RecipeError lists the choices."""
    if text.endswith((".yaml", ".yml")):
        return read_recipe(Path(text))
    if text in RECIPES:
        return RECIPES[text]
    base, _, suffix = text.rpartition("_")
    if suffix in _KV and (recipe := _sparse(base)) is not None:
        return replace(recipe, name=text, kv=_KV[suffix])
    if (recipe := _sparse(text)) is not None:
        return recipe
    raise RecipeError(_unknown("recipe", text, [*RECIPES, *(f"{r}_{kv}" for r in RECIPES for kv in _KV)], RECIPES))


def _sparse(text: str) -> Recipe | None:
    """The recipe that `text` names, with or without a suffix for sparsity; RecipeError where it cannot be sparse."""
    base, _, suffix = text.rpartition("_")
    found = _SPARSE.fullmatch(suffix)
    if text in RECIPES or base not in RECIPES or found is None:
        return RECIPES.get(text)
    recipe, (kept, density) = RECIPES[base], found.groups()
    if isinstance(recipe.weights, DType) or not recipe.weights.sparse_form:
        able = ", ".join(
            name for name, r in RECIPES.items() if not isinstance(r.weights, DType) and r.weights.sparse_form
        )
        raise RecipeError(
            f"recipe {text}: {base} has no N:{BLOCK} sparse form (its weights are {_text(recipe.weights)}); these have:"
            f" {able}"
        )
    if density:
        share = f"{int(density)} % of the weights kept, each matrix 16, 8, 4 or 2 of {BLOCK}"
        return replace(recipe, name=text, description=f"{recipe.description}; {share}", density=int(density))
    weights = replace(recipe.weights, kept=int(kept))
    return replace(
        recipe, name=text, description=f"{recipe.description}; {kept} of {BLOCK} weights kept", weights=weights
    )


def _text(storage: Storage) -> str:
    return storage.value if isinstance(storage, DType) else str(storage)


def read_recipe(path: Path) -> Recipe:
    """The recipe that a YAML file describes; RecipeError names the file, the key and what was expected.

    Keys: `name`, `description`, `weights` (f32, f16, bf16 or a format such as i4g32:f16), `tables` (f32, f16,
    bf16), `activations` (float, bf16 or i8), `kv` (f32, f16 or i8), `density` (per cent of the weights kept) and
    `rules`, a list of `{match: GLOB, storage: …}`.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path}: not YAML: {error}") from error
    return _from_mapping(data, path)


_KEYS = ("name", "description", "weights", "tables", "activations", "kv", "density", "rules")


def _from_mapping(data: object, path: Path) -> Recipe:
    where = str(path)
    _check_keys(data, _KEYS, ("weights",), where)
    assert isinstance(data, dict)
    kv = _choice(data.get("kv", "f16"), {"f32": DType.F32, "f16": DType.F16, "i8": DType.I8}, "kv", where)
    activations: Literal["float", "bf16", "i8"] = _choice(
        data.get("activations", "float"), {"float": "float", "bf16": "bf16", "i8": "i8"}, "activations", where
    )
    tables = _choice(data.get("tables", "f16"), _FLOATS, "tables", where)
    density = data.get("density", 0)
    if not isinstance(density, int):
        raise RecipeError(f"recipe {where}: density is a whole number of per cent, found {density!r}")
    rules = []
    for number, rule in enumerate(data.get("rules") or [], start=1):
        _check_keys(rule, ("match", "storage"), ("match", "storage"), f"{where}, rule {number}")
        rules.append(Rule(str(rule["match"]), _storage(str(rule["storage"]), where)))
    return Recipe(
        str(data.get("name", path.stem)), str(data.get("description", "")),
        _storage(str(data["weights"]), where),
        tables, activations, kv, tuple(rules), density,
    )  # fmt: skip


def _check_keys(data: object, known: Sequence[str], required: Sequence[str], where: str) -> None:
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {where}: expected keys {', '.join(known)}, found {data!r}")
    for key in data:
        if key not in known:
            raise RecipeError(f"recipe {where}: {_unknown('key', str(key), known, known)}")
    for key in required:
        if key not in data:
            raise RecipeError(f"recipe {where}: expected the key {key}, found {', '.join(map(str, data)) or 'none'}")


def _choice(value: object, choices: Mapping[str, T], key: str, where: str) -> T:
    if value not in choices:
        raise RecipeError(f"recipe {where}: {_unknown(key, str(value), choices, choices)}")
    return choices[str(value)]


def _unknown(what: str, found: str, candidates: Iterable[str], shown: Iterable[str]) -> str:
    close = get_close_matches(found, list(candidates), 1)
    hint = f"; did you mean {close[0]}?" if close else "."
    return f"unknown {what} {found!r}{hint} Choices: {', '.join(shown)}"
