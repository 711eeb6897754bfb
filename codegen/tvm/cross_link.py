"""Links objects for another instruction set: finds a linker that can, and says what to install where there is none."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence

from cosyn.codegen.errors import BackendError

_GCC = ("{arch}-linux-gnu-gcc", "{arch}-unknown-linux-gnu-gcc", "{arch}-none-linux-gnu-gcc")


class CrossLinker:
    """Makes shared libraries for a triple such as `aarch64-linux-gnu`; what TVM's `export_library` calls `fcompile`."""

    output_format = "so"

    def __init__(self, triple: str) -> None:
        self._triple = triple

    def get_target_triple(self) -> str:
        """What TVM asks it for, to choose the format of the objects."""
        return self._triple

    def command(self) -> list[str]:
        """The command that links, without its files; BackendError where this machine has none."""
        arch = self._triple.partition("-")[0]
        for name in (n.format(arch=arch) for n in _GCC):
            if shutil.which(name):
                return [name, "-shared"]
        if shutil.which("clang") and shutil.which("ld.lld"):
            # Without the C library of the other machine at hand its symbols stay open, and the process that loads
            # the library has them.
            return ["clang", f"--target={self._triple}", "-fuse-ld=lld", "-nostdlib", "-shared"]
        raise BackendError(
            f"code for {arch} needs a linker for it, and this machine ({platform.machine()}) has none. Install "
            f"{_GCC[0].format(arch=arch)} (Debian and Ubuntu: apt install gcc-{arch.replace('_', '-')}-linux-gnu), or "
            "clang and lld"
        )

    def __call__(self, output: str, objects: Sequence[str], options: Sequence[str] | None = None) -> None:
        """Link `objects` into `output`; BackendError with the linker's words."""
        command = [*self.command(), "-o", output, *objects, *(options or ())]
        if "-nostdlib" not in command:
            command.append("-lm")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackendError(f"{command[0]} cannot link for {self._triple}: {done.stderr.strip()}")


def cross_linker(triple: str) -> CrossLinker | None:
    """The linker of that triple; None where it is this machine's own instruction set, whose compiler links."""
    own = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    return None if triple.partition("-")[0] == own else CrossLinker(triple)
