"""What the accelerator's compiler refuses says which buffer or op, by how much, and what would fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.errors import FitError, UnsupportedError
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.programs import compile_steps
from cosyn.codegen.fpga.regions import Layout
from tests.architectures import save_folder
from tests.codegen.fpga.fpga_models import lowered

TINY = load_config("tiny")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    save_folder("llama", folder)
    return folder


def test_a_vector_buffer_too_small_names_the_size_that_fits(llama: Path) -> None:
    graph, _ = lowered(llama, "w8a8", 64)
    small = replace(TINY, vector_lines=300)
    with pytest.raises(FitError) as refused:
        compile_step(Layout(make_plan(small, graph, 64)), 1)
    message = str(refused.value)
    assert "a step of 1 token does not fit tiny: the vector buffer has 300 lines and the step needs " in message
    assert "(largest: parameters" in message
    needed = int(message.rpartition("vector_lines: ")[2])
    assert f"needs {needed}, {needed - 300} more" in message
    assert compile_step(Layout(make_plan(replace(TINY, vector_lines=needed), graph, 64)), 1).vector_lines == needed
    with pytest.raises(FitError):
        compile_step(Layout(make_plan(replace(TINY, vector_lines=needed - 1), graph, 64)), 1)


def test_an_activation_buffer_too_small_is_named(llama: Path) -> None:
    graph, _ = lowered(llama, "w8a8", 64)
    small = replace(TINY, activation_lines=1)
    with pytest.raises(FitError, match=r"the activation buffer has 1 lines .* the smallest change that fits is activa"):
        compile_step(Layout(make_plan(small, graph, 64)), 1)


def test_the_steps_that_fit_are_kept_and_the_reason_for_the_next_is_given(llama: Path) -> None:
    graph, _ = lowered(llama, "w8a8", 64)
    with pytest.raises(FitError) as refused:
        compile_step(Layout(make_plan(replace(TINY, vector_lines=300), graph, 64)), 4)
    needed = int(str(refused.value).rpartition("vector_lines: ")[2])
    found = compile_steps(Layout(make_plan(replace(TINY, vector_lines=needed - 1), graph, 64)), 16)
    assert found.tokens == (1, 2)
    assert found.left_out is not None
    assert "a step of 4 tokens does not fit" in found.left_out


def test_a_tile_that_several_groups_of_tokens_read_must_fit_its_ring(llama: Path) -> None:
    graph, _ = lowered(llama, "w8a8", 64)
    small = replace(TINY, weight_ring_words=12)
    layout = Layout(make_plan(small, graph, 64))
    compile_step(layout, 2)
    with pytest.raises(FitError, match=r"a tile of .* has 20 words; a step of 4 tokens .* set weight_ring_words to 20"):
        compile_step(layout, 4)


def test_all_unsupported_ops_are_listed_with_their_nodes(tmp_path: Path) -> None:
    save_folder("mixtral", tmp_path)
    graph, _ = lowered(tmp_path, "w8a8", 64)
    with pytest.raises(UnsupportedError) as refused:
        make_plan(TINY, graph, 64)
    problems = refused.value.problems
    assert {p.rpartition(": ")[2] for p in problems} >= {"softmax", "topk", "expert_linear", "mix_experts", "sum"}
    assert any("model.layers.1.mlp.experts" in p for p in problems)
    assert str(refused.value).startswith(f"the accelerator cannot run {len(problems)} operations of this model:")


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("fp16", {}, "linear on float activations; use a recipe with 8-bit activations, such as w8a8"),
        ("w4a8_g32", {"weight_bits": (8,)}, r"storage i4g32u8:f32: tiny has signed weights of \[8\] bits"),
        ("w8a8_8of16", {"kept": ()}, r"storage i8row\.8of16:f32: tiny keeps \[\] of 16"),
    ],
)
def test_a_recipe_that_the_configuration_lacks_is_refused(
    llama: Path, recipe: str, changes: dict[str, object], message: str
) -> None:
    graph, _ = lowered(llama, recipe, 64)
    with pytest.raises(UnsupportedError, match=message):
        make_plan(replace(TINY, **changes), graph, 64)  # type: ignore[arg-type]  # fields of the configuration
