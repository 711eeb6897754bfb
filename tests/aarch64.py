"""Running Python with cosyn's runtime on aarch64: natively there, elsewhere under qemu (scripts/aarch64_needs.sh)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMULATED = ROOT / "build" / "aarch64"
QEMU = "qemu-aarch64-static"
LINKER = "aarch64-linux-gnu-gcc"


def missing() -> str:
    """Why aarch64 code cannot run here; empty where it can."""
    if platform.machine() == "aarch64":
        return ""
    tools = [tool for tool in (QEMU, LINKER) if shutil.which(tool) is None]
    if tools:
        return f"needs {' and '.join(tools)}: scripts/aarch64_needs.sh"
    if not (EMULATED / "stamp").exists():
        return "needs an aarch64 Python in build/aarch64: scripts/aarch64_needs.sh"
    return ""


def run_python(script: Path, *arguments: str | Path, scratch: Path, cpu: str = "max") -> str:
    """What `script` prints in an aarch64 Python that can import `cosyn.runtime`; AssertionError where it fails.

    `cpu` is qemu's name of the processor to be. `scratch` is a folder for cosyn's package without its compiler.
    """
    package = scratch / "packages" / "cosyn"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    if not (package / "runtime").exists():
        (package / "runtime").symlink_to(ROOT / "runtime")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable]
    if platform.machine() != "aarch64":
        system = EMULATED / "root"
        command = [QEMU, "-cpu", cpu, "-L", str(system), str(system / "usr/bin/python3")]
        environment["PYTHONPATH"] += f":{EMULATED / 'site'}"
        environment["COSYN_TVM_RUNTIME"] = str(EMULATED / "lib/libtvm_runtime.so")
        # TVM's library names this one without a folder.
        environment["LD_LIBRARY_PATH"] = str(EMULATED / "site/tvm_ffi/lib")
    command += [str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
