"""What this machine has, and what each missing thing disables."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from cosyn.runtime import host_cpu

State = Literal["ok", "missing", "broken"]

TVM_FFI_PIN = "0.1.14.post1"
"""The newest tvm-ffi with which TVM 0.27's Schedule.tensorize does not crash."""

# Instruction sets that kernels ask for; the rest of the flags is noise to a reader.
_CPU_FEATURES = (
    "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8",
    "asimd", "asimddp", "i8mm", "bf16",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `cosyn doctor`: what was looked for, what was found, and what its absence disables.

    `required` things make the command fail when they are not `ok`; `hint` says how to get them.
    """

    name: str
    state: State
    found: str
    disables: str = ""
    hint: str = ""
    required: bool = False


def checks() -> Iterable[Check]:
    """Every check, one after the other."""
    yield _python()
    yield from (_package(*row) for row in _PACKAGES)
    yield _tvm_ffi()
    yield _llvm()
    yield _cpu()
    yield from (_tool(*row) for row in _TOOLS)
    yield _opencl()
    yield _memory()
    yield _disk(Path.cwd())


def _python() -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    return Check("Python", "ok", found, required=True)


_COMPILE = "compile, inspect and verify; running artifacts still works"
_PACKAGES: tuple[tuple[str, str, str, bool], ...] = (
    ("numpy", "everything", "pip install cosyn", True),
    ("apache-tvm", "everything", "pip install cosyn", True),
    ("tokenizers", "run, eval", "pip install cosyn", True),
    ("torch", _COMPILE, "pip install 'cosyn[compile]'", False),
    ("transformers", _COMPILE, "pip install 'cosyn[compile]'", False),
    ("matplotlib", "pictures of inspect", "pip install 'cosyn[compile]'", False),
)


def _package(name: str, disables: str, hint: str, required: bool) -> Check:
    try:
        return Check(name, "ok", version(name), required=required)
    except PackageNotFoundError:
        return Check(name, "missing", "not installed", disables, hint, required)


def _tvm_ffi() -> Check:
    name, hint = "apache-tvm-ffi", f"pip install apache-tvm-ffi=={TVM_FFI_PIN}"
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "missing", "not installed", "everything", hint, required=True)
    sentence = tvm_ffi_complaint(found)
    if sentence:
        return Check(name, "broken", sentence, "compile", hint, required=True)
    return Check(name, "ok", found, required=True)


def tvm_ffi_complaint(found: str) -> str:
    """One sentence where this version of tvm-ffi does not work with TVM 0.27; empty where it does."""
    numbers = tuple(int(n) for n in re.findall(r"\d+", found)[:3])
    if numbers >= (0, 1, 15):
        return f"{found} crashes in every tensorized schedule of TVM 0.27; {TVM_FFI_PIN} works"
    return ""


def _llvm() -> Check:
    name = "TVM's LLVM"
    try:
        from tvm.target import codegen
    except (ImportError, OSError, RuntimeError) as error:
        return Check(name, "broken", " ".join(str(error).split()), "compile", "pip install cosyn", required=True)
    targets = {str(t) for t in codegen.llvm_get_targets()}
    known = [t for t in ("x86_64", "aarch64", "riscv64", "wasm32") if t in targets]
    cpu = codegen.llvm_get_system_cpu()
    found = f"{codegen.llvm_version_major()}, this CPU is {cpu}, targets {', '.join(known)}"
    return Check(name, "ok", found, required=True)


def _cpu() -> Check:
    have = [f for f in _CPU_FEATURES if f in host_cpu.features()]
    cores = f"{host_cpu.physical_cores()} cores, {host_cpu.usable_cores()} usable threads"
    return Check("CPU", "ok", f"{host_cpu.model_name()}, {cores}, {' '.join(have)}")


_TOOLS = (
    ("g++", "--version", "the C++ example and the host program of OpenCL artifacts", "apt install g++"),
    ("nvcc", "--version", "--target cuda:…", "install the CUDA toolkit; a GPU is not needed to compile"),
    (
        "aarch64-linux-gnu-gcc", "--version", "--target cpu:aarch64, where clang and lld are missing too",
        "apt install gcc-aarch64-linux-gnu",
    ),
)  # fmt: skip


def _tool(name: str, flag: str, disables: str, hint: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(name, "missing", "not on PATH", disables, hint)
    done = subprocess.run([path, flag], capture_output=True, text=True, timeout=30, check=False)
    number = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return Check(name, "ok", f"{number.group() if number else 'unknown version'} at {path}")


def _opencl() -> Check:
    name, disables = "OpenCL", "running artifacts of --target opencl:…; compiling them still works"
    library = ctypes.util.find_library("OpenCL")
    drivers = sorted(p.stem for p in Path("/etc/OpenCL/vendors").glob("*.icd"))
    if library is None:
        return Check(name, "missing", "no libOpenCL", disables, "apt install ocl-icd-libopencl1 pocl-opencl-icd")
    if not drivers:
        return Check(name, "missing", f"{library}, but no driver", disables, "apt install pocl-opencl-icd")
    return Check(name, "ok", f"{library}, drivers: {', '.join(drivers)}")


def _memory() -> Check:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return Check("memory", "ok", f"{total:.1f} GiB, {free:.1f} GiB unused")


def _disk(folder: Path) -> Check:
    return Check("disk", "ok", f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB free in {folder}")
