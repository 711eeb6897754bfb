"""An artifact to load, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def handmade_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of handmade.py; not to be changed."""
    from handmade import build_artifact

    return build_artifact(tmp_path_factory.mktemp("handmade") / "artifact")


@pytest.fixture
def artifact(handmade_artifact: Path, tmp_path: Path) -> Path:
    """A copy of the handmade artifact, to be damaged."""
    return Path(shutil.copytree(handmade_artifact, tmp_path / "artifact"))
