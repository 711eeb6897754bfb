"""TVM's small runtime library and its Python bindings, without the compiler and without torch.

`libtvm_runtime.so` (3 MB) is found beside an installed `tvm` package, which is not imported, or through the
environment variable COSYN_TVM_RUNTIME.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cosyn.runtime.errors import HostError, RequestError
from cosyn.runtime.host_cpu import physical_cores, usable_cores

LIBRARY_VARIABLE = "COSYN_TVM_RUNTIME"
THREADS_VARIABLE = "TVM_NUM_THREADS"
_LIBRARY = "libtvm_runtime.dylib" if sys.platform == "darwin" else "libtvm_runtime.so"


@cache
def load_runtime() -> ModuleType:
    """The module `tvm_ffi`, with TVM's runtime functions registered in it.

    HostError says what is not installed.
    """
    ffi = _import_ffi()
    path = library_path()
    try:
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise HostError(f"TVM's runtime {path} cannot be loaded: {error}", "run: cosyn doctor") from error
    return ffi


def library_path() -> Path:
    """Where libtvm_runtime lies; HostError where it cannot be found."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if named is not None:
        path = Path(named)
        if not path.is_file():
            raise HostError(
                f"{LIBRARY_VARIABLE} names {path}, which is not a file", f"set it to the path of {_LIBRARY}"
            )
        return path
    spec = importlib.util.find_spec("tvm")
    folders = [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
    for folder in folders:
        if (folder / "lib" / _LIBRARY).is_file():
            return folder / "lib" / _LIBRARY
    raise HostError(
        f"TVM's runtime {_LIBRARY} was not found",
        f"install the package apache-tvm, or set {LIBRARY_VARIABLE} to the path of {_LIBRARY}",
    )


def set_threads(threads: int | None) -> int:
    """Choose how many threads kernels use: `threads`, else TVM_NUM_THREADS, else the physical cores.

    TVM starts its threads once in a process, at the first step; later choices have no effect. RequestError for
    more threads than CPUs; the variable may name more.
    """
    if threads is not None:
        # Threads that wait for each other's turn on a core are far slower; thousands of them never end.
        if not 1 <= threads <= usable_cores():
            raise RequestError(
                f"{threads} threads were asked for; expected 1 to {usable_cores()}, the CPUs of this process",
                "without a number there is one for each physical core",
            )
        os.environ[THREADS_VARIABLE] = str(threads)
    # Without it TVM halves the core count, taking every second logical CPU for a hyper-thread.
    chosen = os.environ.setdefault(THREADS_VARIABLE, str(physical_cores()))
    if not chosen.isdigit() or int(chosen) < 1:
        raise RequestError(f"{THREADS_VARIABLE}: expected a number of threads, at least 1, found {chosen!r}")
    return int(chosen)


def _import_ffi() -> ModuleType:
    # tvm_ffi imports torch where it is installed, to convert its tensors faster: 1.4 s that no artifact
    # needs.
    hide = "torch" not in sys.modules and "tvm_ffi" not in sys.modules
    blocked: dict[str, Any] = sys.modules
    if hide:
        blocked["torch"] = None
    try:
        return importlib.import_module("tvm_ffi")
    except ImportError as error:
        raise HostError(f"TVM's Python bindings cannot be imported: {error}", "install apache-tvm-ffi") from error
    finally:
        if hide:
            del sys.modules["torch"]
