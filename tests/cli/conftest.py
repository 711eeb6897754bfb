"""Runs command lines inside the test's process, as a user would type them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from cosyn.cli import main

PYDOC_LLAMA = Path(__file__).parents[2] / "examples" / "models" / "pydoc-llama"


@dataclass(frozen=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


Cosyn = Callable[..., Outcome]


@pytest.fixture
def cosyn(capsys: pytest.CaptureFixture[str]) -> Cosyn:
    """`cosyn("compile", "model")` → Outcome."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(w) for w in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The model of the examples, compiled in float32 once for all test processes."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    folder = shared / "pydoc-llama-fp32"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            words = ["compile", str(PYDOC_LLAMA), "--recipe", "fp32", "-o", str(folder), "--quiet"]
            assert main(words) == 0
    return folder


@pytest.fixture
def copied_artifact(artifact: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(artifact, tmp_path / "artifact"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a two-layer Llama with random weights, without a tokenizer."""
    from tests.architectures import save_folder

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_folder("llama", folder)
    return folder


@pytest.fixture
def copied_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))
