"""Which room may import which: the table of the design, section 2, checked over every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOMS: dict[str, set[str]] = {
    "ir": set(),
    "targets": set(),
    "runtime": set(),
    "passes": {"ir", "targets"},
    "accelerator_model": {"ir", "targets"},
    "codegen": {"ir", "passes", "targets", "accelerator_model"},
    "rtl_testbench": {"accelerator_model", "codegen"},
    "cosyn": {"ir", "passes", "targets", "runtime", "codegen", "accelerator_model", "rtl_testbench"},
}
"""Room → the other rooms that it may import."""

ARTIFACT_FORMAT = {"cosyn.runtime.dtypes", "cosyn.runtime.integrity", "cosyn.runtime.tensor_file"}
"""What codegen takes from the runtime: the artifact's format, which both sides must share (decision 0003)."""

FORBIDDEN: dict[str, set[str]] = {
    "runtime": {
        "torch",
        "transformers",
        "scipy",
        "sympy",
        "networkx",
        "safetensors",
        "ml_dtypes",
        "matplotlib",
    },
    "targets": {"torch", "transformers", "tvm"},
    "ir": {"tvm"},
    "passes": {"tvm", "torch", "transformers"},
}
"""Packages that a room must work without."""


def python_files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names} if module == "cosyn" else {module}
    return names


def room_of(module: str) -> str | None:
    """The room that a module of ours belongs to; None for other packages."""
    parts = module.split(".")
    if parts[0] != "cosyn":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "cosyn"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    allowed = ROOMS[room] | {room}
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(room)
        for module in sorted(imported(path))
        if (target := room_of(module)) is not None
        and target not in allowed
        and not (room == "codegen" and module in ARTIFACT_FORMAT)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_works_without_the_packages_it_must_not_need(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(room)
        for module in sorted(imported(path))
        if module.partition(".")[0] in FORBIDDEN[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_names_every_room_that_holds_python() -> None:
    others = {"tests", "examples", "benchmarks", "scripts", "docs", "build"}
    rooms = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and any(p.rglob("*.py"))}
    assert rooms - others <= set(ROOMS)
