"""Makes machine code of TVM's CUDA C without a GPU or its driver, and puts it into the library instead.

TVM compiles CUDA C only where the driver is loaded. Elsewhere its modules carry the source, and whoever
loads them must bring a compiler. So nvcc compiles the source here, and the serialized module gets the cubin
in its place: the form in which TVM itself stores a compiled module.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm.runtime import _ffi_api

from cosyn.codegen.errors import BackendError

_FORCE_SOURCE = "TVM_COMPILE_FORCE_FALLBACK"
_USAGE = re.compile(
    r"Function properties for (?P<kernel>\w+)\n"
    r"\s*(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\n"
    r".*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class KernelUsage:
    """What one kernel takes of a multiprocessor, by ptxas: registers per thread, bytes for the rest."""

    registers: int
    spill_bytes: int
    stack_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one chip, the use of resources by kernel, and the compiler's version."""

    code: bytes
    usage: dict[str, KernelUsage]
    compiler: str


def find_nvcc() -> str:
    """Path of nvcc; BackendError says what to install."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    found = shutil.which("nvcc") or shutil.which("nvcc", path=str(Path(home) / "bin"))
    if found is None:
        raise BackendError(
            "CUDA targets are compiled by nvcc, which is neither on PATH nor in CUDA_HOME/bin. Install "
            "NVIDIA's CUDA toolkit 13 (no GPU or driver is needed), such as the packages cuda-nvcc-13-0 and "
            "cuda-cudart-dev-13-0"
        )
    return found


def compile_cubin(source: str, arch: str) -> Cubin:
    """nvcc's machine code of CUDA C for `arch` (as in sm_90a); BackendError with nvcc's words."""
    nvcc = find_nvcc()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.cu"
        path.write_text(source, encoding="utf-8")
        command = [
            nvcc,
            "--cubin",
            f"-arch={arch}",
            "-O3",
            "-std=c++17",
            "-Xptxas",
            "-v",
            "-o",
            "kernels.cubin",
            path.name,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackendError(f"nvcc cannot compile the kernels for {arch}:\n{_tail(done.stderr)}")
        code = (Path(folder) / "kernels.cubin").read_bytes()
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    release = re.search(r"release [\d.]+, (V[\d.]+)", version)
    return Cubin(code, _usage(done.stderr), f"nvcc {release[1] if release else 'of unknown version'}")


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _usage(report: str) -> dict[str, KernelUsage]:
    usage = {}
    for found in _USAGE.finditer(report):
        shared = re.search(r"(\d+) bytes smem", found["rest"])
        usage[found["kernel"]] = KernelUsage(
            int(found["registers"]), int(found["stores"]) + int(found["loads"]), int(found["stack"]),
            int(shared[1]) if shared else 0,
        )  # fmt: skip
    return usage


@contextmanager
def modules_as_source() -> Iterator[None]:
    """Inside, TVM keeps CUDA C as it is, with a driver too: artifacts are the same everywhere."""
    before = os.environ.get(_FORCE_SOURCE)
    os.environ[_FORCE_SOURCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE_SOURCE]
        else:
            os.environ[_FORCE_SOURCE] = before


def cuda_module(module: Any) -> Any:
    """The CUDA module below `module`; BackendError where there is not exactly one."""
    found: list[Any] = []
    waiting = [module]
    while waiting:
        here = waiting.pop()
        if here.kind == "cuda":
            found.append(here)
        waiting.extend(here.imports)
    if len(found) != 1:
        raise BackendError(f"expected one module of CUDA kernels, found {len(found)}")
    return found[0]


def imports_with_cubin(module: Any, cubin: Cubin) -> bytes:
    """TVM's serialized imports of `module` for a shared library, with `cubin` in place of the CUDA C.

    BackendError where the bytes are not what TVM 0.27 writes.
    """
    text = _ffi_api.ModulePackImportsToC(module, False, "")
    body = text[text.index("{", text.index("__tvm_ffi__library_bin[", text.index("const unsigned char"))) :]
    blob = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", body))
    return _replace_source(blob, cuda_module(module).inspect_source("cuda").encode(), cubin.code)


def _replace_source(blob: bytes, source: bytes, code: bytes) -> bytes:
    """Layout: u64 size, two vectors of u64 (the import tree), then per module a key and (not _lib) bytes.

    The bytes of a CUDA module are three fields: format, table of functions, code.
    """
    reader = _Reader(blob)
    if reader.number() != len(blob) - 8:
        raise BackendError(_UNEXPECTED)
    tree = [reader.vector(), reader.vector()]
    parts: list[bytes] = []
    replaced = 0
    while not reader.done:
        key = reader.field()
        parts.append(_field(key))
        if key == b"_lib":
            continue
        content = reader.field()
        if key == b"cuda":
            head, tail = _field(b"cuda"), _field(source)
            if not (content.startswith(head) and content.endswith(tail)):
                raise BackendError(_UNEXPECTED)
            content = _field(b"cubin") + content[len(head) : -len(tail)] + _field(code)
            replaced += 1
        parts.append(_field(content))
    if replaced != 1:
        raise BackendError(_UNEXPECTED)
    body = b"".join([*tree, *parts])
    return struct.pack("<Q", len(body)) + body


_UNEXPECTED = "TVM wrote its modules in a form that this version does not know: compile with TVM 0.27"


class _Reader:
    """Little-endian fields, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._data)

    def number(self) -> int:
        return int(struct.unpack("<Q", self._take(8))[0])

    def field(self) -> bytes:
        return self._take(self.number())

    def vector(self) -> bytes:
        """A vector of u64, its length included."""
        count = self.number()
        return struct.pack("<Q", count) + self._take(8 * count)

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise BackendError(_UNEXPECTED)
        self._at += count
        return self._data[self._at - count : self._at]


def _field(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content
