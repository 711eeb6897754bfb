"""Tensors that the host and a device share: plain numpy memory on the CPU, device memory with copies
elsewhere.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np

from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.executor import AnyArray
from cosyn.runtime.tensor_file import ALIGNMENT
from cosyn.runtime.tvm_library import load_runtime

Index: TypeAlias = tuple[int | slice, ...]


class Buffer(Protocol):
    """One tensor.

    Its leading rows can be seen as a tensor of their own: a step uses as many as it has tokens.
    """

    tensor: Any
    """The whole tensor, as tvm_ffi holds it."""

    def rows(self, count: int) -> Any:
        """The first `count` rows, as tvm_ffi holds them."""
        ...

    def put(self, values: AnyArray) -> None:
        """Write the leading rows."""
        ...

    def get(self, count: int) -> AnyArray:
        """The first `count` rows on the host; valid until the buffer changes."""
        ...

    def edit(self, index: Index, values: AnyArray) -> None:
        """Write a part; costs a copy of the whole tensor in both directions on a device."""
        ...


class Memory(Protocol):
    """A place where tensors live."""

    def allocate(self, shape: Sequence[int], dtype: str) -> Buffer:
        """A tensor of zeros, at least 64-byte aligned."""
        ...

    def upload(self, array: AnyArray) -> Any:
        """A tensor with the contents of `array`, which is shared where the device can read host memory."""
        ...


def aligned_zeros(shape: Sequence[int], dtype: str) -> AnyArray:
    """Zeros at a 64-byte boundary, which compiled kernels rely on; pages are touched only when used."""
    kind = BY_NAME[dtype].numpy
    nbytes = prod(shape) * kind.itemsize
    raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes].view(kind).reshape(shape)


def share(array: AnyArray) -> Any:
    """A tensor over the array's own memory; the tensor keeps it alive."""
    return load_runtime().from_dlpack(array, require_alignment=ALIGNMENT, require_contiguous=True)


class HostBuffer:
    """numpy memory that kernels on the CPU use directly."""

    def __init__(self, shape: Sequence[int], dtype: str) -> None:
        self.array = aligned_zeros(shape, dtype)
        self.tensor = share(self.array)
        self._rows: dict[int, Any] = {}

    def rows(self, count: int) -> Any:
        view = self._rows.get(count)
        if view is None:
            view = self._rows[count] = share(self.array[:count])
        return view

    def put(self, values: AnyArray) -> None:
        self.array[: len(values)] = values

    def get(self, count: int) -> AnyArray:
        return self.array[:count]

    def edit(self, index: Index, values: AnyArray) -> None:
        self.array[index] = values


class HostMemory:
    """The CPU's memory."""

    def allocate(self, shape: Sequence[int], dtype: str) -> HostBuffer:
        return HostBuffer(shape, dtype)

    def upload(self, array: AnyArray) -> Any:
        return share(array)


class DeviceBuffer:
    """Memory of a device, with a copy in each direction."""

    def __init__(self, device: Any, shape: Sequence[int], dtype: str) -> None:
        ffi = load_runtime()
        self._shape = tuple(shape)
        self._numpy = BY_NAME[dtype].numpy
        self._dtype = ffi.dtype(str(self._numpy))
        allocate = ffi.get_global_func("runtime.TVMTensorAllocWithScope")
        self._view = ffi.get_global_func("runtime.TVMTensorCreateView")
        self._copy_in = ffi.get_global_func("runtime.TVMTensorCopyFromBytes")
        self._copy_out = ffi.get_global_func("runtime.TVMTensorCopyToBytes")
        self._make_shape = ffi.Shape
        self.tensor = allocate(ffi.Shape(self._shape), self._dtype, device, None)
        self._rows: dict[int, Any] = {}

    def rows(self, count: int) -> Any:
        view = self._rows.get(count)
        if view is None:
            shape = self._make_shape((count, *self._shape[1:]))
            view = self._rows[count] = self._view(self.tensor, shape, self._dtype, 0)
        return view

    def put(self, values: AnyArray) -> None:
        values = np.ascontiguousarray(values, self._numpy)
        if values.size:
            self._copy_in(self.rows(len(values)), values.ctypes.data_as(ctypes.c_void_p), values.nbytes)

    def get(self, count: int) -> AnyArray:
        values = np.empty((count, *self._shape[1:]), self._numpy)
        if values.size:
            self._copy_out(self.rows(count), values.ctypes.data_as(ctypes.c_void_p), values.nbytes)
        return values

    def edit(self, index: Index, values: AnyArray) -> None:
        whole = self.get(self._shape[0])
        whole[index] = values
        self.put(whole)


class DeviceMemory:
    """The memory of an accelerator that TVM's runtime can drive."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def allocate(self, shape: Sequence[int], dtype: str) -> DeviceBuffer:
        buffer = DeviceBuffer(self._device, shape, dtype)
        buffer.put(np.zeros(shape, BY_NAME[dtype].numpy))
        return buffer

    def upload(self, array: AnyArray) -> Any:
        name = next(t.name for t in BY_NAME.values() if t.numpy == array.dtype)
        buffer = DeviceBuffer(self._device, array.shape, name)
        buffer.put(array)
        return buffer.tensor
