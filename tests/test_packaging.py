"""The wheel holds every module and data file of the rooms: what runs from a checkout runs installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("ir", "passes", "targets", "accelerator_model", "codegen", "runtime", "rtl_testbench")


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    # A copy, since setuptools leaves a build folder behind whose stale files would join the next wheel.
    source = tmp_path_factory.mktemp("wheel") / "source"
    ignored = shutil.ignore_patterns("__pycache__", "sim_build")
    for name in (*ROOMS, "cosyn"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(source), str(source)]
    subprocess.run([sys.executable, "-m", *words], check=True)
    (wheel,) = source.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def sources(pattern: str) -> set[str]:
    ours = {f"cosyn/{p.relative_to(ROOT)}" for room in ROOMS for p in (ROOT / room).rglob(pattern)}
    return ours | {str(p.relative_to(ROOT)) for p in (ROOT / "cosyn").rglob(pattern)}


@pytest.mark.parametrize("pattern", ["*.py", "*.yaml", "*.c", "*.h", "*.cl", "Makefile*", "*.sv", "*.cpp", "py.typed"])
def test_every_file_is_in_the_wheel(wheel_files: set[str], pattern: str) -> None:
    assert sources(pattern) - wheel_files == set()


def test_nothing_else_is_in_the_wheel(wheel_files: set[str]) -> None:
    ours = {name for name in wheel_files if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in ours} == {"cosyn"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel_files)
