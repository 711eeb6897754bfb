"""The C++ example builds against the wheels and writes the tokens that Python writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cosyn.runtime import load

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cpp_runner"

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or shutil.which("make") is None,
    reason="needs g++ and make, which are not here",
)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpp")
    for name in ("Makefile", "runner.cc"):
        shutil.copy(EXAMPLE / name, folder)
    done = subprocess.run(["make", f"PYTHON={sys.executable}"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return folder / "runner"


@pytest.mark.parametrize("prompt", [[5], [3, 9, 27, 4]])
def test_tokens_are_those_of_python(runner: Path, prompt: list[int], handmade_artifact: Path) -> None:
    command = [str(runner), str(handmade_artifact), "20", *map(str, prompt)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    expected = load(handmade_artifact).generate(prompt, max_new_tokens=20, ignore_eos=True)
    assert [int(t) for t in done.stdout.split()] == list(expected.token_ids)


def test_usage(runner: Path) -> None:
    done = subprocess.run([str(runner)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: runner ARTIFACT NEW_TOKENS TOKEN_ID")


def test_the_example_is_as_short_as_it_claims() -> None:
    lines = (EXAMPLE / "runner.cc").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith("//")]
    assert len(code) <= 60
    assert max(map(len, lines)) <= 120
