"""The soak finds the seeds that fail, and every block bench passes with seeds that `make test` does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cosyn.rtl_testbench.runner import DEFAULT_SEED
from cosyn.rtl_testbench.soak import blocks

SAMPLE = """
import os
import pytest

@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_block(preset):
    seed = int(os.environ["COCOTB_RANDOM_SEED"])
    assert (preset, seed) != ("odd", 3), "a wrong word"

def test_other():
    pass
"""
"""Stands for a block's tests."""


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_names_test_and_seed(tmp_path: Path) -> None:
    sample = tmp_path / "test_sample.py"
    sample.write_text(SAMPLE, encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from cosyn.rtl_testbench.soak import soak;"
        "done = soak([Path(sys.argv[1])], range(2, 6)); print('RESULT', done.runs, *done.failures)"
    )
    done = _python("-c", code, str(sample))
    assert done.returncode == 0, done.stderr
    result = done.stdout.partition("RESULT ")[2]
    assert result.startswith("12 COCOTB_RANDOM_SEED=3 python -m pytest"), done.stdout
    assert "test_sample.py::test_block[odd]'" in result
    assert "a wrong word" in result
    assert result.count("COCOTB_RANDOM_SEED") == 1


def test_refuses_a_block_that_does_not_exist() -> None:
    done = _python("-m", "cosyn.rtl_testbench.soak", "nowhere")
    assert done.returncode == 2
    assert f"no block nowhere; there are {', '.join(blocks())}" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks())
def test_other_seeds(block: str) -> None:
    """Two more seeds; `python -m cosyn.rtl_testbench.soak` runs as many as one has time for."""
    first = ["--first", str(DEFAULT_SEED + 1)]
    done = _python("-m", "cosyn.rtl_testbench.soak", block, "--seeds", "2", *first)
    assert done.returncode == 0, done.stdout + done.stderr
