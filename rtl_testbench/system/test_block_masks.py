"""Steps under a block mask: reference, cycle simulator and RTL agree in every bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.block_mask import LoadedMask, read_block_mask
from cosyn.codegen.fpga.random_model import LLAMA2_7B, place_model
from cosyn.rtl_testbench.full_size.levels import run_levels
from cosyn.rtl_testbench.full_size.step import RandomStep
from cosyn.rtl_testbench.marks import needs_simulator

HEADS, MAX_SEQ = 4, 160
SMALL = {
    **LLAMA2_7B, "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": HEADS,
    "num_key_value_heads": 2, "vocab_size": 96,
}  # fmt: skip


def random_mask(block: int, folder: Path) -> LoadedMask:
    """A third of the blocks, others for each head; head 1 sees nothing in rows 2, 5, …"""
    rows = -(-MAX_SEQ // block)
    values = np.random.default_rng(block).random((HEADS, rows, rows)) < 0.35
    values[1, 2::3] = False
    np.savez(folder / "mask.npz", block=block, mask=values)
    return read_block_mask(folder / "mask.npz")


@needs_simulator()
@pytest.mark.parametrize(
    ("config", "block", "window", "position", "tokens"),
    [
        ("tiny", 16, 0, 95, 1),  # row 5: a head that sees nothing
        pytest.param("tiny", 16, 0, 124, 4, marks=pytest.mark.slow),
        ("tiny", 5, 0, 157, 1),  # blocks shorter than what is skipped
        ("tiny", 16, 60, 130, 1),
        ("odd", 48, 0, 146, 4),
    ],
)
def test_a_step_with_a_block_mask(
    config: str, block: int, window: int, position: int, tokens: int, tmp_path: Path
) -> None:
    mask = random_mask(block, tmp_path)
    model = place_model(SMALL, load_config(config), "w8a8", MAX_SEQ, seed=3, window=window, mask=mask)
    step = RandomStep(model.layout, model.load, position, range(5, 5 + tokens), seed=3)
    found = run_levels(step, tmp_path, timeout=300)
    assert found.step.simulated_cycles == pytest.approx(found.step.rtl_cycles, rel=0.02)
