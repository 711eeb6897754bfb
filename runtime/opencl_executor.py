"""Executes an artifact's generated C host on an OpenCL device; TVM has no part in it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cosyn.runtime.c_host import build_host
from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.errors import HostError
from cosyn.runtime.executor import AnyArray, FloatArray, IntArray, State
from cosyn.runtime.kv_cache import state_capacity, state_shapes
from cosyn.runtime.manifest import Manifest

_POINTER, _SIZE, _COUNT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
_MESSAGE_BYTES = 4096


class OpenClState:
    """KV caches in the device's memory, laid out as `KVState` in the IR says."""

    def __init__(self, executor: OpenClExecutor, slots: int, capacity: int) -> None:
        self.slots = slots
        self.capacity = capacity
        self._executor = executor
        held = [state_capacity(spec, capacity, executor.max_chunk) for spec in executor.state_specs]
        self._tensors = [
            (shape, BY_NAME[dtype].numpy, length)
            for spec, length in zip(executor.state_specs, held, strict=True)
            for shape, dtype in state_shapes(spec, slots, length)
        ]
        self.handle = executor.library.cosyn_state_new(executor.handle, slots, (_COUNT * len(held))(*held))
        if not self.handle:
            raise executor.failure()

    def __del__(self) -> None:
        if getattr(self, "handle", None) and self._executor.handle:
            self._executor.library.cosyn_state_free(self._executor.handle, self.handle)

    def read(self, slot: int, length: int) -> list[AnyArray]:
        arrays: list[AnyArray] = []
        for i, (shape, dtype, held) in enumerate(self._tensors):
            array = np.empty(shape[1:], dtype)
            self._copy("read", i, slot, array)
            arrays.append(array[:, : min(length, held)].copy())
        return arrays

    def write(self, slot: int, arrays: Sequence[AnyArray]) -> None:
        for i, ((shape, dtype, _), array) in enumerate(zip(self._tensors, arrays, strict=True)):
            whole = np.empty(shape[1:], dtype)
            self._copy("read", i, slot, whole)
            whole[:, : array.shape[1]] = array
            self._copy("write", i, slot, whole)

    def _copy(self, direction: str, tensor: int, slot: int, array: AnyArray) -> None:
        shape = self._tensors[tensor][0]
        offset = slot * prod(shape[1:]) * array.itemsize
        call = getattr(self._executor.library, f"cosyn_state_{direction}")
        if call(self._executor.handle, self.handle, tensor, offset, array.nbytes, array.ctypes.data):
            raise self._executor.failure()


class OpenClExecutor:
    """The launch lists of program.c over the mapped weights."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Build the host if need be, open the device, load the weights. HostError, ArtifactError."""
        self.vocab_size = manifest.model.vocab_size
        self.max_seq = manifest.model.max_seq
        self.max_chunk = manifest.max_chunk
        self.max_out = max(e.max_out for e in manifest.entry_points)
        self.state_specs = manifest.states
        self.library = _bind(build_host(folder))
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        self.handle = self.library.cosyn_open(str(folder.resolve()).encode(), message, _MESSAGE_BYTES)
        if not self.handle:
            raise HostError(message.value.decode(errors="replace"), "run: cosyn doctor")
        self.device: str = self.library.cosyn_device(self.handle).decode(errors="replace")
        self._logits = np.empty((self.max_out, self.vocab_size), np.float32)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.library.cosyn_close(self.handle)
            self.handle = None

    def allocate(self, slots: int, capacity: int) -> OpenClState:
        """Empty caches for `slots` sequences of up to `capacity` positions."""
        return OpenClState(self, slots, capacity)

    def step(
        self, state: State, token_ids: IntArray, positions: IntArray, slots: IntArray, out_rows: IntArray
    ) -> FloatArray:
        """See `Executor.step`. The smallest entry point that covers the step runs."""
        if not isinstance(state, OpenClState):
            raise TypeError(f"expected a state of this executor, found {type(state).__name__}")
        # Kernels write at least one row: where no logits are wanted, the last token's are dropped.
        rows = out_rows if len(out_rows) else np.array([len(token_ids) - 1])
        inputs = [np.ascontiguousarray(a, np.int32) for a in (token_ids, positions, slots, rows)]
        ids, at, slot, wanted = (a.ctypes.data for a in inputs)
        handles, logits = (self.handle, state.handle), self._logits.ctypes.data
        if self.library.cosyn_step(*handles, len(token_ids), ids, at, slot, len(rows), wanted, logits):
            raise self.failure()
        return self._logits[: len(out_rows)]

    def failure(self) -> HostError:
        """What the host says of its last failure."""
        return HostError(self.library.cosyn_error(self.handle).decode(errors="replace"), "run: cosyn doctor")


def _bind(path: Path) -> ctypes.CDLL:
    """The host library with the types of its functions, as host.h declares them."""
    library = ctypes.CDLL(str(path))
    copy = [_POINTER, _POINTER, ctypes.c_int32, _SIZE, _SIZE, _POINTER]
    types: dict[str, tuple[Any, list[Any]]] = {
        "cosyn_open": (_POINTER, [ctypes.c_char_p, ctypes.c_char_p, _SIZE]),
        "cosyn_close": (None, [_POINTER]),
        "cosyn_error": (ctypes.c_char_p, [_POINTER]),
        "cosyn_device": (ctypes.c_char_p, [_POINTER]),
        "cosyn_state_new": (_POINTER, [_POINTER, _COUNT, _POINTER]),
        "cosyn_state_free": (None, [_POINTER, _POINTER]),
        "cosyn_state_read": (ctypes.c_int, copy),
        "cosyn_state_write": (ctypes.c_int, copy),
        "cosyn_step": (
            ctypes.c_int,
            [_POINTER, _POINTER, _COUNT, _POINTER, _POINTER, _POINTER, _COUNT, _POINTER, _POINTER],
        ),
    }
    for name, (result, arguments) in types.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
