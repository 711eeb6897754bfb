"""Captures of the working tree and of a base revision, each made by its own sources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.replay.compare import Capture

MARKER = "[codegen]"
"""In a commit message: this commit means to change the generated code."""


class ReplayError(Exception):
    """The comparison cannot be made; the message says why."""


def git(root: Path, *arguments: str) -> str:
    """What git prints; ReplayError with its words where it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReplayError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def find_base(root: Path, base: str) -> str:
    """The commit at which HEAD left `base`; ReplayError where there is none.

    On `base` itself: HEAD where there are changes that are not committed, else its parent.
    """
    found = next((f for name in (base, f"origin/{base}") if (f := _merge_base(root, name))), "")
    if not found:
        raise ReplayError(f"there is no commit that HEAD and {base!r} share (a shallow clone?)")
    if found != git(root, "rev-parse", "HEAD") or git(root, "status", "--porcelain"):
        return found
    try:
        return git(root, "rev-parse", "--verify", "HEAD^")
    except ReplayError as error:
        raise ReplayError("HEAD has no parent to compare with (a shallow clone?)") from error


def _merge_base(root: Path, name: str) -> str:
    try:
        return git(root, "merge-base", name, "HEAD")
    except ReplayError:
        return ""


def announced(root: Path, base: str) -> bool:
    """Whether a commit since `base` says that it changes the generated code."""
    return MARKER in git(root, "log", "--format=%B", f"{base}..HEAD")


def capture_tree(root: Path, models: Sequence[str] = ()) -> Capture:
    """The capture of the sources at `root`, in a process of their own; ReplayError with its last words."""
    if not (root / "scripts/replay/capture.py").is_file():
        raise ReplayError("the base has no capture of its own yet, so there is nothing to compare with")
    with tempfile.TemporaryDirectory() as scratch:
        packages, out = Path(scratch) / "packages", Path(scratch) / "capture.json"
        _lay_out(root, packages)
        path = os.pathsep.join((str(packages), str(root)))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "scripts.replay.capture", str(out), *models]
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ReplayError(f"the capture of {root} failed:\n{done.stderr.strip()[-2000:]}")
        capture: Capture = json.loads(out.read_text())
    return capture


@contextmanager
def checked_out(root: Path, revision: str) -> Iterator[Path]:
    """The files of `revision` in a temporary worktree."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tree"
        git(root, "worktree", "add", "--detach", "--force", str(folder), revision)
        try:
            yield folder
        finally:
            git(root, "worktree", "remove", "--force", str(folder))


def _lay_out(root: Path, packages: Path) -> None:
    """The package `cosyn` of the sources at `root`, whose rooms lie beside it, as links."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    rooms: dict[str, str] = settings["tool"]["setuptools"]["package-dir"]
    top = packages / "cosyn"
    top.mkdir(parents=True)
    for part in (root / rooms["cosyn"]).iterdir():
        (top / part.name).symlink_to(part)
    for package, folder in rooms.items():
        if package != "cosyn":
            (top / package.removeprefix("cosyn.")).symlink_to(root / folder)
