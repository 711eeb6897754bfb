"""Executes an artifact's `model.so` with TVM's virtual machine, on the CPU or on a device that TVM drives."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosyn.runtime import huge_pages as pages
from cosyn.runtime.errors import ArtifactError, HostError
from cosyn.runtime.executor import AnyArray, FloatArray, IntArray, State
from cosyn.runtime.kv_cache import state_capacity, state_shapes
from cosyn.runtime.manifest import EntryPoint, Manifest
from cosyn.runtime.tensor_memory import Buffer, DeviceMemory, HostMemory, Memory
from cosyn.runtime.tvm_library import library_path, load_runtime, set_threads
from cosyn.runtime.weights import WEIGHTS_FILE, load_weights

LIBRARY_FILE = "model.so"
_POOLED = 2
"""TVM's pooled allocator: the arena is allocated once, so it matters little."""
_DEVICE_EXISTS = 0
"""Number of the attribute that tells whether a device is there."""


class VMState:
    """KV caches in the memory of a device, laid out as `KVState` in the IR says."""

    def __init__(self, executor: VMExecutor, slots: int, capacity: int) -> None:
        self.slots = slots
        self.capacity = capacity
        self._buffers: list[Buffer] = []
        self._held: list[int] = []
        for spec in executor.state_specs:
            held = state_capacity(spec, capacity, executor.max_chunk)
            for shape, dtype in state_shapes(spec, slots, held):
                self._buffers.append(executor.memory.allocate(shape, dtype))
                self._held.append(held)
        self.tensors = load_runtime().Array([b.tensor for b in self._buffers])

    def read(self, slot: int, length: int) -> list[AnyArray]:
        pairs = zip(self._buffers, self._held, strict=True)
        return [buffer.get(self.slots)[slot, :, : min(length, held)].copy() for buffer, held in pairs]

    def write(self, slot: int, arrays: Sequence[AnyArray]) -> None:
        for buffer, array in zip(self._buffers, arrays, strict=True):
            buffer.edit((slot, slice(None), slice(array.shape[1])), array)


class VMExecutor:
    """The functions of `model.so` over `weights`, by name; nothing is allocated in a step."""

    def __init__(
        self, folder: Path, manifest: Manifest, *, threads: int | None = None, huge_pages: bool | None = None
    ) -> None:
        """Load the library and the weights.

        `threads`: see `tvm_library.set_threads`. `huge_pages`: copy the weights into them, or map the file; None: as
        `huge_pages.worth_a_copy` says. HostError, ArtifactError.
        """
        self.threads = set_threads(threads)
        self.vocab_size = manifest.model.vocab_size
        self.max_seq = manifest.model.max_seq
        self.max_chunk = manifest.max_chunk
        self.state_specs = manifest.states
        self._entries = sorted(manifest.entry_points, key=lambda e: (e.max_seq, e.max_out))
        self.max_out = self._entries[-1].max_out
        self._ffi = load_runtime()
        device = _device(self._ffi, manifest.target.device)
        self.memory: Memory = HostMemory() if device is None else DeviceMemory(device)
        self._load_library(folder, device)
        self.huge_pages = device is None and _in_huge_pages(folder, huge_pages)
        weights = load_weights(folder, manifest.weights, self.memory, in_huge_pages=self.huge_pages)
        self.weights = {spec.name: tensor for spec, tensor in zip(manifest.weights, weights, strict=True)}
        self._weights = self._ffi.Array(weights)
        rows = (self.max_chunk,)
        self._token_ids, self._positions, self._slots = (self.memory.allocate(rows, "i32") for _ in range(3))
        self._out_rows = self.memory.allocate((self.max_out,), "i32")
        self._logits = self.memory.allocate((self.max_out, self.vocab_size), "f32")

    def allocate(self, slots: int, capacity: int) -> VMState:
        """Empty caches for `slots` sequences of up to `capacity` positions."""
        return VMState(self, slots, capacity)

    def step(
        self, state: State, token_ids: IntArray, positions: IntArray, slots: IntArray, out_rows: IntArray
    ) -> FloatArray:
        """See `Executor.step`. The smallest entry point that covers the step runs."""
        if not isinstance(state, VMState):
            raise TypeError(f"expected a state of this executor, found {type(state).__name__}")
        seq, out = len(token_ids), max(1, len(out_rows))
        self._token_ids.put(token_ids)
        self._positions.put(positions)
        self._slots.put(slots)
        # Kernels write at least one row; where no logits are wanted, the last token's are computed and
        # dropped.
        self._out_rows.put(out_rows if len(out_rows) else np.array([seq - 1], np.int32))
        self._functions[self._entry(seq, out).name](
            self._arena,
            self._token_ids.rows(seq),
            self._positions.rows(seq),
            self._slots.rows(seq),
            self._out_rows.rows(out),
            state.tensors,
            self._weights,
            self._logits.rows(out),
        )
        return self._logits.get(len(out_rows)).view(np.float32)

    def library_function(self, name: str) -> Any:
        """A function of the library beside the entry points, such as `read_bandwidth`.

        ArtifactError if absent.
        """
        function = self._module.get_function(name, query_imports=True) if self._has(name) else None
        if function is None:
            raise ArtifactError(f"{LIBRARY_FILE} has no function {name!r}", "compile the artifact again")
        return function

    def _has(self, name: str) -> bool:
        return bool(self._module.implements_function(name, query_imports=True))

    def _entry(self, seq: int, out: int) -> EntryPoint:
        for entry in self._entries:
            if seq <= entry.max_seq and out <= entry.max_out:
                return entry
        raise ValueError(f"a step of {seq} tokens and {out} outputs exceeds {self.max_chunk} and {self.max_out}")

    def _load_library(self, folder: Path, device: Any) -> None:
        path = (folder / LIBRARY_FILE).resolve()
        kind = [device.dlpack_device_type(), device.index] if device is not None else []
        host = [1, 0, _POOLED]
        try:
            self._module = self._ffi.load_module(str(path))
            vm = self._module["vm_load_executable"]()
            vm["vm_initialization"](*([*kind, _POOLED] if kind else []), *host)
            self._functions = {e.name: vm[e.name] for e in self._entries}
            self._arena = vm["init_arena"]()
        except (OSError, RuntimeError, AttributeError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be loaded by TVM: {error}", "compile the artifact again") from error


def _in_huge_pages(folder: Path, asked: bool | None) -> bool:
    if asked is not None:
        return asked and pages.offered()
    return pages.worth_a_copy((folder / WEIGHTS_FILE).stat().st_size)


def _device(ffi: Any, name: str) -> Any:
    """The tvm_ffi device of that name, None for the CPU; HostError where this machine has none."""
    if name == "cpu":
        return None
    sidecar = library_path().with_name(f"libtvm_runtime_{name}.so")
    if sidecar.exists():
        try:
            ctypes.CDLL(str(sidecar), ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise HostError(f"TVM's runtime for {name} cannot be loaded: {error}", "run: cosyn doctor") from error
    try:
        device = ffi.device(name, 0)
        found = ffi.get_global_func("runtime.GetDeviceAttr")(device.dlpack_device_type(), device.index, _DEVICE_EXISTS)
    except (RuntimeError, ValueError) as error:
        raise HostError(f"this TVM cannot drive the device {name!r}: {error}", "run: cosyn doctor") from error
    if not found:
        raise HostError(f"the artifact runs on {name!r}, and this machine has no such device", "run: cosyn doctor")
    return device
