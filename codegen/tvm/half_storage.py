"""Half precision as storage only, for OpenCL devices that cannot compute with it (no cl_khr_fp16).

`vload_half` and `vstore_half_rte` are part of every OpenCL; only arithmetic on `half` needs the extension.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.ir.prim import expr as prim

from cosyn.codegen.errors import BackendError


def half_as_storage(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    """A lowered kernel whose loads and stores of f16 are conversions from and to f32.

    Precondition: every f16 value is widened as it is loaded, or narrowed as it is stored; BackendError where
    one is computed with.
    """
    body = tvm_ffi.structural_map(kernel.body, [(prim.Cast, _widened_load), (tirx.BufferStore, _narrowed_store)])
    left: list[str] = []

    def check(value: Any) -> None:
        if _is_half(value):
            left.append(str(value))

    def check_store(store: Any) -> None:
        if str(store.buffer.dtype) == "float16":
            left.append(str(store))

    tvm_ffi.structural_walk(body, [(ir.TensorLoad, check), (prim.Cast, check), (tirx.BufferStore, check_store)])
    if left:
        raise BackendError(f"this target stores f16 but does not compute with it; found {left[0]}")
    result: tirx.PrimFunc = kernel.with_body(body)
    return result


def _is_half(value: Any) -> bool:
    return str(value.ty.dtype) == "float16"


def _widened_load(cast: Any) -> Any:
    load = cast.value
    if not (isinstance(load, ir.TensorLoad) and _is_half(load)):
        return cast
    index, data = load.indices[0], load.source.data
    wide = tirx.call_pure_extern("float32", "vload_half", index, data)
    return wide if str(cast.ty.dtype) == "float32" else prim.Cast(cast.ty.dtype, wide)


def _narrowed_store(store: Any) -> Any:
    value = store.value
    narrows = isinstance(value, prim.Cast) and str(value.value.ty.dtype) == "float32"
    if str(store.buffer.dtype) != "float16" or not narrows:
        return store
    index, data = store.indices[0], store.buffer.data
    return tirx.Evaluate(tirx.call_extern("void", "vstore_half_rte", value.value, index, data))
