"""The choice of N for each matrix: the knapsack against all possibilities, the pass, and recipes that ask for it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import run_graph
from cosyn.ir.verifier import check
from cosyn.ir.weight_format import BLOCK, KEPT, WeightFormat
from cosyn.passes.assign_kept import AssignKept, choose
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.prune import prune, pruning_losses
from cosyn.passes.recipe import RecipeError, Rule, load_recipe
from cosyn.passes.rtn import decode_rtn
from tests.passes.graphs import llama, llama_inputs, random_weights

CHOICES = (BLOCK, *KEPT)


def kept(graph: Graph) -> dict[str, int]:
    """N of every quantized matrix."""
    return {ref: t.format.kept or BLOCK for ref, t in graph.types.items() if t.format is not None}


def density(graph: Graph) -> float:
    sizes = {ref: math.prod(int(d) for d in graph.types[ref].shape) for ref in kept(graph)}
    return sum(sizes[ref] * n for ref, n in kept(graph).items()) / (BLOCK * sum(sizes.values()))


def lowered(recipe: str, weights: dict[str, np.ndarray] | None = None, choices: tuple[int, ...] = KEPT) -> Graph:
    load = None if weights is None else weights.__getitem__
    options = Options(load_recipe(recipe), weights=load, kept=choices)
    return run_passes(llama(), passes(options, 64), verify=True)[0]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_choice_loses_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = [64 * int(n) for n in random.integers(1, 40, 5)]
    losses = np.cumsum(random.random((5, 4)), axis=1) - random.random((5, 1))
    percent = int(random.integers(14, 99))
    found = choose(sizes, losses.tolist(), CHOICES, percent)

    def cost(choice: tuple[int, ...]) -> float:
        return sum(s * CHOICES[j] for s, j in zip(sizes, choice, strict=True)) / (BLOCK * sum(sizes))

    def loss(choice: tuple[int, ...]) -> float:
        return float(sum(losses[i, j] for i, j in enumerate(choice)))

    possible = [c for c in itertools.product(range(4), repeat=5) if cost(c) <= percent / 100]
    assert found is not None
    chosen = tuple(CHOICES.index(n) for n in found)
    assert chosen in possible
    assert loss(chosen) == pytest.approx(min(map(loss, possible)))


def test_sizes_without_common_measure_stay_within_the_budget() -> None:
    sizes = [100_003, 99_991, 65_537, 31_337]
    losses = [[0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 4.0, 6.0], [0.0, 3.0, 6.0, 9.0], [0.0, 4.0, 8.0, 12.0]]
    found = choose(sizes, losses, CHOICES, 60)
    assert found is not None
    assert sum(s * n for s, n in zip(sizes, found, strict=True)) <= 0.6 * BLOCK * sum(sizes)
    assert found[3] == BLOCK


def test_what_cannot_be_reached_is_none() -> None:
    assert choose([64, 64], [[0.0, 1.0], [0.0, 1.0]], (16, 8), 49) is None
    assert choose([64, 64], [[0.0, 1.0], [0.0, 1.0]], (16, 8), 50) == [8, 8]


@pytest.mark.parametrize("shape", [(8, 64), (7, 44), (3, 5, 20)])
def test_losses_are_what_pruning_takes(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    expected = [float(np.square(array - prune(array, n)).sum()) for n in KEPT]
    *found, none, everything = pruning_losses(array, (*KEPT, BLOCK, 0))
    assert found == pytest.approx(expected, rel=1e-5)
    assert none == 0
    assert everything == pytest.approx(float(np.square(array).sum()), rel=1e-5)


def test_a_sample_of_a_large_matrix_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(4).standard_normal((512, 256)).astype(np.float32)
    exact = pruning_losses(array, KEPT)
    monkeypatch.setattr("cosyn.passes.prune._SAMPLE", array.size // 4)
    assert pruning_losses(array, KEPT) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("percent", [20, 50, 75, 90])
def test_the_budget_is_met_and_used(percent: int) -> None:
    graph = lowered(f"w8a8_mixed{percent}", random_weights(llama()))
    assert percent / 100 - 0.08 < density(graph) <= percent / 100
    assert len(kept(graph)) == 5  # merged Q K V, O, merged gate and up, down, and the head apart from its table


def test_weights_decide() -> None:
    weights = random_weights(llama())
    for keys, ratio in ((("gate", "up"), 0.01), (("down",), 100.0)):
        for key in keys:
            weights[key] = (weights[key].astype(np.float32) * ratio).astype(weights[key].dtype)
    found = kept(lowered("w4a8_g32_mixed75", weights))
    assert found["@wg_wu"] < BLOCK
    assert found["@wd"] == BLOCK


def test_without_weights_sizes_decide() -> None:
    graph = lowered("w4a8_g32_mixed75")
    assert 0.67 < density(graph) <= 0.75
    assert set(kept(graph).values()) == {8, 16}


def test_a_rule_takes_a_matrix_out() -> None:
    recipe = load_recipe("w8a8_mixed50")
    head = replace(recipe, rules=(Rule("embed", recipe.weights),))
    graph = run_passes(llama(), passes(Options(head), 64))[0]
    found = kept(graph)
    (embed,) = (ref for ref in found if ref.startswith("@embed"))
    assert found.pop(embed) == BLOCK
    assert set(found.values()) == {8}


def test_only_what_the_target_has_is_chosen() -> None:
    assert set(kept(lowered("w8a8_mixed60", choices=(8,))).values()) <= {8, 16}
    with pytest.raises(RecipeError, match="recipe w8a8_mixed40: 40 % of the weights cannot be kept where a matrix"):
        lowered("w8a8_mixed40", choices=(8,))


def test_what_is_computed_is_the_pruned_weights() -> None:
    weights, inputs = random_weights(llama()), llama_inputs(7)
    recipe = load_recipe("w8a8_mixed75")
    graph = run_passes(llama(), passes(Options(recipe, weights=weights.__getitem__), 64))[0]
    assert {8, 16} == set(kept(graph).values())
    extra = {"slots": np.zeros(7, np.int32), "out_rows": np.arange(7)}
    (found,) = run_graph(graph, {**inputs, **extra}, weights.__getitem__, dtype=np.float64, stored=decode_rtn)
    (dense,) = run_graph(llama(), inputs, weights.__getitem__, dtype=np.float64)
    apart = np.abs(found - dense).max() / np.abs(dense).max()
    assert 0.05 < apart < 1.0


def test_a_graph_without_matrices_stays() -> None:
    graph = llama()
    assert AssignKept(load_recipe("w8a8_mixed75")).run(graph) is graph
    check(graph)


@pytest.mark.parametrize(
    ("name", "text", "percent"),
    [("w8a8_mixed50", "i8row:f32", 50), ("w4a8_g32_mixed75_kv16", "i4g32u8:f32", 75)],
)
def test_names(name: str, text: str, percent: int) -> None:
    recipe = load_recipe(name)
    assert (recipe.name, str(recipe.weights), recipe.density) == (name, text, percent)
    assert f"{percent} % of the weights kept" in recipe.description


def test_bits_lie_between_those_of_its_formats() -> None:
    dense, half = load_recipe("w8a8").bits_per_weight, load_recipe("w8a8_8of16").bits_per_weight
    assert load_recipe("w8a8_mixed50").bits_per_weight == half
    assert load_recipe("w8a8_mixed75").bits_per_weight == pytest.approx((dense + half) / 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "w3a8_g128_mixed75",
            "w3a8_g128 has no N:16 sparse form (its weights are i3g128u8:f32); these have: w8a8, w4a8",
        ),
        ("fp16_mixed75", "fp16 has no N:16 sparse form (its weights are f16)"),
        ("w8a8_mixed12", "a density is a number of per cent between 13 and 99, found 12"),
        ("w8a8_mixed100", "between 13 and 99, found 100"),
        ("w8a8_mixed", "unknown recipe 'w8a8_mixed'"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert message in str(caught.value)


def test_a_file_gives_a_density(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("weights: i8row:f32\nactivations: i8\ndensity: 60\n")
    recipe = load_recipe(str(path))
    assert (recipe.density, recipe.weights) == (60, WeightFormat(8, scale_dtype=DType.F32))
    for line, message in (
        ("weights: i8row.8of16:f32\ndensity: 60", "chooses N itself; expected weights such as i8row:f32"),
        ("weights: f16\ndensity: 60", "found f16"),
        ("weights: i8row:f32\ndensity: 0.5", "density is a whole number of per cent, found 0.5"),
    ):
        path.write_text(line)
        with pytest.raises(RecipeError) as caught:
            load_recipe(str(path))
        assert message in str(caught.value)
