"""Every architecture on the accelerator's functional simulator: the same bits as the graph reference, however a prompt
is cut.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_model.presets import load_config
from tests.architectures import CONFIGS, VOCABULARY, save_folder
from tests.codegen.fpga.fpga_models import Compared, same_bits

REFUSED = {"mixtral", "qwen2_moe", "qwen3_moe", "stablelm_qk_norm", "qwen3"}
"""Mixtures of experts; norms with a weight per head; norms of heads whose halves are not whole lines (size 12)."""

RUNS = [
    *(("tiny", name, "w8a8") for name in CONFIGS if name not in REFUSED),
    *(("odd", name, "w8a8") for name in ("llama", "gemma2", "bloom", "falcon_multihead", "gpt2", "glm4")),
    ("odd", "llama", "w4a8_g32"),
    ("odd", "llama", "w8a8_8of16"),
    ("tiny", "opt", "w4a8_g32_4of16"),
    ("tiny", "llama", "w4a8_g32_mixed60"),
    ("odd", "qwen2", "w8a8_mixed40"),
    ("tiny", "qwen2", "w3a8_g128"),
    ("u280", "llama_tied", "w8a8"),
    ("odd", "mistral", "w2a8_g32"),
]

QUICK = {
    ("tiny", "gemma2", "w8a8"), ("tiny", "opt_projected", "w8a8"), ("tiny", "phi3_longrope", "w8a8"),
    ("odd", "bloom", "w8a8"), ("odd", "falcon_multihead", "w8a8"), ("odd", "llama", "w8a8_8of16"),
    ("tiny", "llama", "w4a8_g32_mixed60"),
    ("tiny", "qwen2", "w3a8_g128"), ("u280", "llama_tied", "w8a8"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "name", "recipe"), [pytest.param(*r, marks=() if r in QUICK else pytest.mark.slow) for r in RUNS]
)
def test_programs_give_the_bits_of_the_reference(tmp_path: Path, config: str, name: str, recipe: str) -> None:
    save_folder(name, tmp_path)
    compared = Compared(tmp_path, load_config(config), recipe)
    random = np.random.default_rng(1)
    for tokens in (8, 1, 1, 4, 1):  # past the window of those models that have one
        found, expected = compared.step(random.integers(0, VOCABULARY, tokens).tolist())
        assert same_bits(found, expected), f"position {compared.position}"
        assert np.abs(found).max() > 0


def test_a_prompt_may_be_cut_anywhere(tmp_path: Path) -> None:
    save_folder("llama", tmp_path)
    tokens = np.random.default_rng(2).integers(0, VOCABULARY, 23).tolist()
    results = []
    for cut in ((16, 4, 2, 1), (1,) * 23, (2, 16, 1, 4)):
        compared = Compared(tmp_path, load_config("odd"))
        position = 0
        for size in cut:
            found, _ = compared.step(tokens[position : position + size])
            position += size
        results.append(found)
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])
