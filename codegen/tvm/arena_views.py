"""Kernels take views into an arena: their buffers must honour an element offset."""

from __future__ import annotations

import tvm_ffi
from tvm import tirx

# The memory plan aligns every value to 64 bytes; as elements of the widest type (f64) that is a factor of 8.
_OFFSET_FACTOR = 8


def with_arena_views(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """The same function, whose parameters may be views at any 64-byte offset of a larger buffer."""
    views = {
        b: tirx.decl_buffer(
            b.shape, b.dtype, b.name, data=b.data,
            elem_offset=tirx.Var(f"{b.name}_offset", "int64"), offset_factor=_OFFSET_FACTOR,
        )
        for b in function.params
    }  # fmt: skip
    mapped: tirx.PrimFunc = tvm_ffi.structural_map(function, (tirx.Buffer, lambda b: views.get(b, b)))
    return mapped
