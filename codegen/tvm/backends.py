"""The table of TVM backends: a target's `kind` names one. Adding a target is one line here, one file, one YAML."""

from __future__ import annotations

from importlib import import_module

from cosyn.codegen.errors import BackendError
from cosyn.codegen.tvm.backend import Backend
from cosyn.targets.target import Target

BACKENDS: dict[str, str] = {
    "cpu": "cosyn.codegen.tvm.cpu:CpuBackend",
    "cuda": "cosyn.codegen.tvm.cuda:CudaBackend",
    "opencl": "cosyn.codegen.tvm.opencl:OpenClBackend",
}
"""Target kind → module:class, imported when it is asked for."""


def backend_for(target: Target) -> Backend:
    """The backend of `target`; BackendError for a kind that TVM does not serve."""
    if target.kind not in BACKENDS:
        raise BackendError(f"no code generator for targets of kind {target.kind!r}; there are: {', '.join(BACKENDS)}")
    module, _, name = BACKENDS[target.kind].partition(":")
    backend: Backend = getattr(import_module(module), name)(target)
    return backend
