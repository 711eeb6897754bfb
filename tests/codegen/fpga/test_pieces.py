"""Linears of prompt steps in pieces of whole tiles: the same bits, no races, and the fastest of the candidates."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_model.isa import MatrixInstruction
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import Program, program_bytes
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.timed import TimedRun
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.lower_linear import pieces
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.programs import compile_steps
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.fpga.search_pieces import CANDIDATES, best_pieces, measured_cycles
from cosyn.ir.frontend import import_model
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from tests.architectures import VOCABULARY, save_folder
from tests.codegen.fpga.fpga_models import Compared, lowered, same_bits
from tests.codegen.fpga.step_races import races

SHIPPED = Path(__file__).parents[3] / "examples" / "models" / "pydoc-llama" / "config.json"
LONGEST = 64


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name in ("llama", "qwen2"):
        found[name] = tmp_path_factory.mktemp(name)
        save_folder(name, found[name])
    return found


@cache
def shipped(config: str) -> Layout:
    """The model of five layers of 256 columns on `config`."""
    imported = import_model(SHIPPED)
    graph = run_passes(imported.graph, passes(Options(load_recipe("w8a8")), 256))[0]
    return Layout(make_plan(load_config(config), graph, 256))


def small(folder: Path, config: str) -> Layout:
    """A model of two layers on `config`."""
    graph, _ = lowered(folder, "w8a8", LONGEST)
    return Layout(make_plan(load_config(config), graph, LONGEST))


def multiplications(program: Program, core: int) -> Counter[str]:
    """Instructions by linear."""
    stream = program.cores[core]
    return Counter(
        node.removesuffix(": multiply")
        for item, node in zip(stream.instructions, stream.nodes, strict=True)
        if isinstance(item, MatrixInstruction) and node.endswith(": multiply")
    )


@pytest.mark.parametrize("tiles", [1, 2, 3, 5, 7, 8, 17])
@pytest.mark.parametrize("count", CANDIDATES)
def test_ranges_hold_every_tile_once(tiles: int, count: int) -> None:
    ranges = list(pieces(tiles, count))
    assert [tile for piece in ranges for tile in piece] == list(range(tiles))
    assert len(ranges) == min(count, tiles)
    sizes = [len(piece) for piece in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", CANDIDATES)
@pytest.mark.parametrize(
    ("config", "name", "recipe"),
    [
        ("tiny", "llama", "w8a8"),
        ("odd", "qwen2", "w8a8"),  # biases; linears of two, four and seven tiles a core
        ("tiny", "llama", "w8a8_8of16"),
        ("u280", "llama", "w8a8"),  # one tile a core, or none
    ],
)
def test_the_bits_do_not_depend_on_the_cut(
    folders: dict[str, Path], config: str, name: str, recipe: str, count: int
) -> None:
    compared = Compared(folders[name], load_config(config), recipe, LONGEST, count)
    random = np.random.default_rng(1)
    for tokens in (8, 1, 4, 2, 16, 1):
        found, expected = compared.step(random.integers(0, VOCABULARY, tokens).tolist())
        assert same_bits(found, expected), f"{tokens} tokens to position {compared.position}"
        assert np.abs(found).max() > 0
    linears = compared.layout.plan.linears
    for core in range(compared.config.cores):
        made = multiplications(compared.program(4), core)
        head = list(linears)[-1]  # of one row
        for linear, plan in linears.items():
            assert made[linear] == min(1 if linear == head else count, plan.tiles[core]), linear


@pytest.mark.parametrize("count", CANDIDATES[1:])
@pytest.mark.parametrize("name", ["tiny", "odd", "u280"])
@pytest.mark.parametrize("tokens", [2, 8])
def test_every_access_is_ordered(folders: dict[str, Path], name: str, tokens: int, count: int) -> None:
    layout = small(folders["qwen2"], name)
    step = compile_step(layout, tokens, count)
    for position in (0, LONGEST - tokens):
        assert races(layout, step, position) == []


def whole_cycles(layout: Layout, tokens: int, count: int, position: int) -> int:
    """Of the whole program, of which the search runs only a part."""
    program = compile_step(layout, tokens, count).program()
    registers = register_file(layout.registers(position, tokens))
    return TimedRun(layout.plan.config, program, registers, None).run().cycles


@pytest.mark.parametrize(
    ("config", "name", "tokens", "expected"),
    [("tiny", "shipped", 2, 4), ("odd", "shipped", 4, 2), ("u280", "shipped", 2, 2), ("tiny", "llama", 2, 1)],
)
def test_the_search_finds_what_is_fastest(
    folders: dict[str, Path], config: str, name: str, tokens: int, expected: int
) -> None:
    layout = shipped(config) if name == "shipped" else small(folders[name], config)
    found = best_pieces(layout, tokens)
    measured = {count: measured_cycles(layout, tokens, count) for count in CANDIDATES}
    assert measured[found] == min(measured.values())
    for position in (0, layout.plan.max_seq // 2):
        cycles = {count: whole_cycles(layout, tokens, count, position) for count in CANDIDATES}
        assert cycles[found] == min(cycles.values()), cycles
    assert found == expected


def test_a_step_of_one_token_has_whole_linears() -> None:
    layout = shipped("tiny")
    assert best_pieces(layout, 1) == 1
    whole = compile_step(layout, 1).program().to_bytes()
    assert compile_step(layout, 1, 4).program().to_bytes() == whole
    stored = [program.step for program in compile_steps(layout, 2).programs]
    assert [(step.tokens, step.pieces) for step in stored] == [(1, 1), (2, 4)]
    assert program_bytes(1, stored[0].streams(), stored[0].nodes) == whole
    expected = compile_step(layout, 2, 4).program().to_bytes()
    assert program_bytes(2, stored[1].streams(), stored[1].nodes) == expected


def test_a_program_may_end_after_any_attention() -> None:
    """What the search runs: the beginning of the step's program, with nothing that only the rest needs."""
    layout = shipped("tiny")
    attends = [node.name for node in layout.plan.roles.steps() if node.op == "attend"]
    whole = compile_step(layout, 2).drafts[0]
    for number, last in enumerate(attends, 1):
        (drafts,) = compile_step(layout, 2, last=last).drafts
        nodes = {draft.node.partition(":")[0] for draft in drafts}
        assert set(attends[:number]) <= nodes
        assert not set(attends[number:]) & nodes
        assert {draft.node for draft in drafts} < {draft.node for draft in whole}
