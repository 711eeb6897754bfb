"""Builds an artifact's C host as a shared library, once per machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cosyn.runtime.errors import ArtifactError, HostError

SOURCES = ("host.c", "opencl_api.c", "program.c")
HEADERS = ("host.h", "opencl_api.h", "program.h")
_OPTIONS = ("-std=c11", "-O2", "-fPIC", "-shared")


def build_host(folder: Path) -> Path:
    """The host library of the artifact in `folder`, from the user's cache or compiled by the C compiler here.

    HostError where there is no compiler; ArtifactError where it refuses the sources.
    """
    digest = hashlib.sha256()
    for name in (*SOURCES, *HEADERS):
        try:
            digest.update((folder / name).read_bytes())
        except OSError as error:
            raise ArtifactError(f"{folder / name}: {error.strerror}", "compile the artifact again") from error
    library = _cache() / f"host-{digest.hexdigest()[:32]}.so"
    if not library.exists():
        _compile([str((folder / name).resolve()) for name in SOURCES], library)
    return library


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cosyn"


def _compile(sources: Sequence[str], library: Path) -> None:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise HostError(
            "the artifact's host program is C, and this machine has no C compiler",
            "install one (Debian and Ubuntu: apt-get install gcc libc6-dev), or set CC",
        )
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        # Another process may build the same library: whoever finishes last replaces equal bytes.
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder) / "host.so"
            options = [*_OPTIONS, "-o", str(built)]
            command = [*compiler.split(), *options, *sources, "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ArtifactError(f"{compiler} cannot compile the host program:\n{done.stderr.strip()}")
            built.rename(library)
    except OSError as error:
        raise HostError(f"cannot build the host program in {library.parent}: {error}") from error
