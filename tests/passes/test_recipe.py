"""Recipes: names, files, choices, and what they say when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.ir.dtype import DType
from cosyn.ir.errors import REQUEST_WRONG
from cosyn.ir.weight_format import WeightFormat
from cosyn.passes.recipe import RECIPES, Recipe, RecipeError, Rule, fitting_group, load_recipe


def test_the_first_set() -> None:
    first = ["fp32", "bf16", "fp16", "w8a16_g128", "w8a8", "w4a16_g32", "w4a16_g128"]
    assert list(RECIPES) == [*first, "w4a8_g32", "w4a8_g128", "w3a8_g128", "w2a8_g32", "bf16_a16"]
    assert RECIPES["w4a16_g32"].weights == WeightFormat(4, 32)
    assert RECIPES["w8a8"].activations == "i8"
    assert RECIPES["bf16_a16"].activations == "bf16"
    assert [RECIPES[name].kv for name in first] == [DType.F32, *[DType.F16] * 6]


@pytest.mark.parametrize(("name", "kv"), [("fp32_kv16", DType.F16), ("w8a8_kv8", DType.I8), ("bf16_kv32", DType.F32)])
def test_a_suffix_chooses_the_cache(name: str, kv: DType) -> None:
    recipe = load_recipe(name)
    assert (recipe.name, recipe.kv) == (name, kv)
    assert recipe.weights == load_recipe(name.rpartition("_")[0]).weights


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("fp32", 32),
        ("fp16", 16),
        ("w8a16_g128", 8.125),
        ("w4a16_g32", 4.5),
        ("w4a16_g128", 4.125),
        ("w4a8_g128", 4.0703125),
    ],
)
def test_bits_per_weight_count_the_scales(name: str, bits: float) -> None:
    assert RECIPES[name].bits_per_weight == bits


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "w4a16_g23",
            "unknown recipe 'w4a16_g23'; did you mean w4a16_g32? Choices: fp32, bf16, fp16, w8a16_g128",
        ),
        ("w8a8_kv4", "unknown recipe 'w8a8_kv4'; did you mean w8a8_kv"),
        ("zzz", "unknown recipe 'zzz'. Choices: fp32,"),
        ("missing.yaml", "cannot read the recipe missing.yaml: No such file or directory"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert message in str(caught.value)
    assert caught.value.exit_code == REQUEST_WRONG


@pytest.mark.parametrize(
    ("columns", "wanted", "found"),
    [
        (4096, 128, 128),
        (172, 128, 0),
        (172, 32, 0),
        (48, 32, 24),
        (160, 128, 80),
        (7, 32, 0),
        (6, 32, 0),
        (64, 0, 0),
    ],
)
def test_groups_fit_the_row(columns: int, wanted: int, found: int) -> None:
    assert fitting_group(columns, wanted) == found
    if found:
        assert columns % found == 0


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_says_everything(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, """
name: mine
description: four bits, eight for the head
weights: u4g64:f16
tables: bf16
activations: float
kv: i8
rules:
  - {match: "lm_head*", storage: "i8g128:f16"}
  - {match: "*.layers.0.*", storage: f16}
"""))  # fmt: skip
    assert recipe == Recipe(
        "mine", "four bits, eight for the head", WeightFormat(4, 64, symmetric=False), DType.BF16, "float",
        DType.I8,
        (Rule("lm_head*", WeightFormat(8, 128)), Rule("*.layers.0.*", DType.F16)),
    )  # fmt: skip
    assert recipe.storage(["lm_head.weight"], 1024) == WeightFormat(8, 128)
    assert recipe.storage(["model.layers.0.q"], 1024) is DType.F16
    assert recipe.storage(["model.layers.1.q"], 96) == WeightFormat(4, 48, symmetric=False)


def test_parts_of_one_matrix_must_be_stored_alike(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, "weights: i4g32:f16\nrules: [{match: '*.q', storage: f16}]"))
    with pytest.raises(RecipeError, match=r"\['a\.k', 'a\.q'\] form one matrix but have different storage"):
        recipe.storage(["a.q", "a.k"], 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weights: [", "not YAML"),
        ("- a", "expected keys name, description, weights"),
        ("kv: i8", "expected the key weights, found kv"),
        ("weights: f16\nrule: 3", "unknown key 'rule'; did you mean rules? Choices: name,"),
        (
            "weights: q4",
            "expected a storage such as f16, bf16, i8row:f32, i4g32:f16 or u4g128:f16, found 'q4'",
        ),
        ("weights: i9g32:f16", "expected a storage such as"),
        ("weights: f16\nkv: f61", "unknown kv 'f61'; did you mean f16? Choices: f32, f16, i8"),
        ("weights: f16\nactivations: i4", "unknown activations 'i4'"),
        ("weights: f16\nrules: [{match: x}]", "rule 1: expected the key storage, found match"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, text))
    assert message in str(caught.value)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w4a8_g32", "i4g32u8:f32"),
        ("w4a8_g128", "i4g128u8:f32"),
        ("w3a8_g128", "i3g128u8:f32"),
        ("w2a8_g32", "i2g32u8:f32"),
        ("w8a8_8of16", "i8row.8of16:f32"),
        ("w4a8_g32_4of16", "i4g32u8.4of16:f32"),
        ("w2a8_g32_2of16_kv16", "i2g32u8.2of16:f32"),
    ],
)
def test_recipes_of_the_accelerator(name: str, text: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.activations == "i8"
    assert str(recipe.weights) == text
    # Groups need not divide the row: the last one may be shorter.
    assert recipe.storage(["a"], 172) == WeightFormat.parse(text)


def test_suffixes_come_together() -> None:
    recipe = load_recipe("w8a8_8of16_kv8")
    assert (recipe.weights, recipe.kv) == (WeightFormat.parse("i8row.8of16:f32"), DType.I8)
    assert RECIPES["w4a8_g32"].kv is DType.I8


@pytest.mark.parametrize("name", ["fp16_8of16", "w4a16_g32_8of16", "w3a8_g128_4of16"])
def test_recipes_that_cannot_be_sparse(name: str) -> None:
    with pytest.raises(
        RecipeError, match=r"has no N:16 sparse form .*; these have: w8a8, w4a8_g32, w4a8_g128, w2a8_g32"
    ):
        load_recipe(name)
