"""A step after a filled cache: reference, cycle simulator and RTL agree in every bit, and in cycles."""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import Program
from cosyn.codegen.fpga.random_model import LLAMA2_7B, place_model
from cosyn.rtl_testbench.errors import SessionError
from cosyn.rtl_testbench.full_size import levels
from cosyn.rtl_testbench.full_size.levels import Levels, run_levels
from cosyn.rtl_testbench.full_size.memory_files import MemoryFiles
from cosyn.rtl_testbench.full_size.report import compare, table
from cosyn.rtl_testbench.full_size.step import RandomStep
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.lockstep import LockstepError
from cosyn.rtl_testbench.system.report import by_class

SMALL = {
    **LLAMA2_7B, "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 352, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 320,
}  # fmt: skip
ONE_LAYER = {**LLAMA2_7B, "num_hidden_layers": 1, "vocab_size": 2000}


def random_step(
    shape: Mapping[str, Any], config: str, recipe: str, context: int, tokens: tuple[int, ...] = (5,)
) -> RandomStep:
    model = place_model(shape, load_config(config), recipe, context, seed=3)
    return RandomStep(model.layout, model.load, context - len(tokens), tokens, seed=3)


def check_cycles(found: Levels) -> None:
    """Within 2 % in total, and 5 % for every class."""
    assert found.step.simulated_cycles == pytest.approx(found.step.rtl_cycles, rel=0.02)
    for row in by_class(found.step):
        assert row.simulated == pytest.approx(row.rtl, rel=0.05), row.name


@needs_simulator()
@pytest.mark.parametrize("recipe", ["w4a8_g32", "w8a8"])
@pytest.mark.parametrize("config", ["tiny", "odd"])
def test_a_small_model(config: str, recipe: str, tmp_path: Path) -> None:
    step = random_step(SMALL, config, recipe, context=100)
    found = run_levels(step, tmp_path, timeout=300)
    check_cycles(found)
    rows = compare(step, found)
    assert [row.name for row in rows["layer"]] == ["layer 0", "layer 1", "head"]
    assert sum(row.rtl for row in rows["layer"]) == pytest.approx(found.step.rtl_cycles, rel=0.02)
    assert len(list(table(rows))) == 2 + 1 + len(Opcode) + 1 + 3


@needs_simulator()
@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "tokens"),
    [("w4a8_g128", (5,)), ("w4a8_g32_8of16", (5,)), ("w4a8_g128", (7, 1, 8, 2))],
    ids=["decode", "sparse", "prefill"],
)
def test_a_layer_of_llama2_7b_at_full_size(recipe: str, tokens: tuple[int, ...], tmp_path: Path) -> None:
    """Every multiplier, lane and memory channel of the U280 configuration at work on a layer's real matrices."""
    step = random_step(ONE_LAYER, "u280", recipe, 128, tokens)
    check_cycles(run_levels(step, tmp_path, timeout=3600))


@needs_simulator()
def test_another_key_in_the_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees one code of one key: what the RTL reads is its own memory."""

    def start_with_another_key(session: RtlSession, files: MemoryFiles, program: Program) -> int:
        region = next(r for r in files.step.layout.maps[0].regions.values() if r.name.startswith("keys"))
        files.shared()[0][region.address, 0] ^= 0x40
        return levels_start(session, files, program)

    levels_start = levels.start_rtl
    monkeypatch.setattr(levels, "start_rtl", start_with_another_key)
    with pytest.raises(LockstepError, match=r"attention.*wrote something else"):
        run_levels(random_step(SMALL, "tiny", "w8a8", context=40), tmp_path, timeout=300)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(SessionError, match="in use by another run"):
            run_levels(random_step(SMALL, "tiny", "w8a8", context=40), tmp_path, timeout=300)


def test_memories_are_written_once_and_copied_where_they_change(tmp_path: Path) -> None:
    step = random_step(SMALL, "tiny", "w8a8", context=40)
    files = MemoryFiles(tmp_path, step)
    before = [memory.copy() for memory in files.shared()]
    private = files.private()
    region = next(r for r in step.layout.maps[0].regions.values() if r.kind == "cache")
    files.shared()[0][region.address] += 1
    assert np.array_equal(private[0], before[0])
    weights = next(r for r in step.layout.maps[0].regions.values() if r.kind == "weights")
    files.shared()[0][weights.address, 0] ^= 1
    again = MemoryFiles(tmp_path, step).shared()
    assert np.array_equal(again[0][region.address], before[0][region.address]), "the cache is written anew"
    assert again[0][weights.address, 0] != before[0][weights.address, 0], "the weights are not"
    other = RandomStep(step.layout, lambda key: step.weights.values(f"@{key}"), step.position, [5], seed=4)
    changed = MemoryFiles(tmp_path, other).shared()
    assert not np.array_equal(changed[0][weights.address], before[0][weights.address])
