"""Tokens order every two instructions that touch the same place; without any one of them some are left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from tests.architectures import save_folder
from tests.codegen.fpga.fpga_models import lowered
from tests.codegen.fpga.race_checker import races


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    save_folder("llama", folder)
    return folder


@pytest.mark.parametrize("name", ["tiny", "odd", "u280"])
@pytest.mark.parametrize("tokens", [1, 4])
def test_every_access_is_ordered(llama: Path, name: str, tokens: int) -> None:
    graph, _ = lowered(llama, "w8a8", 64)
    layout = Layout(make_plan(load_config(name), graph, 64))
    for drafts in compile_step(layout, tokens).drafts:
        assert not races(drafts)


def test_every_token_is_needed(llama: Path) -> None:
    graph, _ = lowered(llama, "w8a8", 64)
    layout = Layout(make_plan(load_config("tiny"), graph, 64))
    (drafts,) = compile_step(layout, 1).drafts
    waits = [(d, other) for d in drafts[:-1] for other in Opcode if d.wait >> other & 1]
    assert waits
    idle = []
    for draft, other in waits[::9]:
        giver_class = [d for d in drafts if d.kind.opcode == other and d.release >> draft.kind.opcode & 1]
        taken = [d for d in drafts if d.kind is draft.kind and d.wait >> other & 1]
        giver = giver_class[taken.index(draft)]
        draft.wait ^= 1 << other
        giver.release ^= 1 << draft.kind.opcode
        if not races(drafts):
            idle.append(draft.node)
        draft.wait ^= 1 << other
        giver.release ^= 1 << draft.kind.opcode
    assert not idle
