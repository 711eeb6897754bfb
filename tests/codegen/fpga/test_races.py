"""Tokens order every two instructions that touch the same place; without any one of them some are left open.

The check is the simulator's, which knows accesses from the instructions' meaning, not from what the compiler declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.draft import Draft
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from tests.architectures import save_folder
from tests.codegen.fpga.fpga_models import lowered
from tests.codegen.fpga.step_races import races

LONGEST = 64


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    save_folder("llama", folder)
    return folder


def layout_of(folder: Path, name: str) -> Layout:
    graph, _ = lowered(folder, "w8a8", LONGEST)
    return Layout(make_plan(load_config(name), graph, LONGEST))


@contextmanager
def without_token(giver: Draft, taker: Draft) -> Iterator[None]:
    """The two instructions without the token that one gives the other."""
    giver_class, taker_class = giver.kind.opcode, taker.kind.opcode
    taker.wait ^= 1 << giver_class
    giver.release ^= 1 << taker_class
    yield
    taker.wait ^= 1 << giver_class
    giver.release ^= 1 << taker_class


@pytest.mark.parametrize("name", ["tiny", "odd", "u280"])
@pytest.mark.parametrize("tokens", [1, 4])
@pytest.mark.parametrize("position", [0, LONGEST - 4])
def test_every_access_is_ordered(llama: Path, name: str, tokens: int, position: int) -> None:
    layout = layout_of(llama, name)
    assert races(layout, compile_step(layout, tokens), position) == []


def test_every_token_is_needed(llama: Path) -> None:
    layout = layout_of(llama, "tiny")
    step = compile_step(layout, 1)
    (drafts,) = step.drafts
    idle, pairs = [], 0
    for taken in Opcode:
        for given in Opcode:
            # The n-th that gives such a token gives it to the n-th that takes one; DONE's order the program's end.
            givers = [d for d in drafts if d.kind.opcode == given and d.release >> taken & 1]
            takers = [d for d in drafts if d.kind.opcode == taken and d.wait >> given & 1]
            for giver, taker in zip(givers, takers, strict=True):
                if taker is drafts[-1]:
                    continue
                pairs += 1
                with without_token(giver, taker):
                    if not races(layout, step, LONGEST // 2):
                        idle.append(f"{giver.node} to {taker.node}")
    assert pairs > 20
    assert idle == []
