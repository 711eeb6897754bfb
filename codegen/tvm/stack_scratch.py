"""TVM's lowering for a CPU, with the scratch memory of kernels on the stack.

TVM keeps a buffer on the stack below a kilobyte, but counts the lanes of a vector twice: four vectors of 16 sums,
256 bytes, come from its workspace, through two calls for each block of rows. Beside the time of the calls, the loads of
the next block wait for them.
"""

from __future__ import annotations

from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.pipeline import default_s_tir_pipeline
from tvm.tirx.compilation_pipeline import register_tir_pipeline

_LARGEST = 16 << 10
"""Bytes of a buffer that may lie on the stack, of which a thread has some hundred kilobytes at least."""

CPU_PIPELINE = "cosyn_cpu"
"""Name of the lowering, for `tvm.compile(…, tir_pipeline=…)`."""


def build_cpu(module: tvm.IRModule, target: Any, relax_pipeline: Any = None) -> Any:
    """TVM's executable of `module` for a CPU `target`; `relax_pipeline`: of a module with Relax functions."""
    if relax_pipeline is None:
        return tvm.compile(module, target, tir_pipeline=CPU_PIPELINE)
    return tvm.compile(module, target, relax_pipeline=relax_pipeline, tir_pipeline=CPU_PIPELINE)


def _pipeline() -> tuple[Any, Any, Any]:
    lowering, finish_host, finish_device = default_s_tir_pipeline()
    return tvm.ir.transform.Sequential([lowering, _with_stack_scratch]), finish_host, finish_device


@tvm.transform.module_pass(opt_level=0)  # type: ignore[untyped-decorator]  # TVM has no type hints
def _with_stack_scratch(module: tvm.IRModule, _context: Any) -> tvm.IRModule:
    for name, function in module.functions.items():
        if isinstance(function, tirx.PrimFunc):
            module[name] = tvm_ffi.structural_map(function, (tirx.AllocBuffer, _kept))
    return module


def _kept(allocation: Any) -> Any:
    """The allocation, marked so that it stays one if it is small."""
    nbytes = _static_bytes(allocation.buffer)
    if nbytes is None or nbytes > _LARGEST:
        return allocation
    marked = {**dict(allocation.annotations), "disable_lower_builtin": tirx.IntImm("bool", 1)}
    return tirx.AllocBuffer(allocation.buffer, marked)


def _static_bytes(buffer: Any) -> int | None:
    dtype = tvm.DataType(str(buffer.dtype))
    bits = int(dtype.bits * dtype.lanes)
    for extent in buffer.shape:
        if not isinstance(extent, tirx.IntImm):
            return None
        bits *= int(extent)
    return bits // 8


register_tir_pipeline(CPU_PIPELINE, _pipeline)
