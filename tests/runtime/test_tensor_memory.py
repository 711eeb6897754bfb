"""Both kinds of memory behave alike; the CPU stands in for a device."""

from __future__ import annotations

from pathlib import Path

import handmade
import numpy as np
import pytest

from cosyn.runtime import vm_executor
from cosyn.runtime.loader import load_executor, open_artifact
from cosyn.runtime.session import Session
from cosyn.runtime.tensor_memory import DeviceMemory, HostMemory, Memory, aligned_zeros
from cosyn.runtime.tvm_library import load_runtime


def device_memory() -> Memory:
    return DeviceMemory(load_runtime().device("cpu", 0))


@pytest.mark.parametrize("make", [HostMemory, device_memory])
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "i8", "u8", "i32"])
def test_buffers(make: type[Memory], dtype: str) -> None:
    buffer = make().allocate((5, 3), dtype)
    assert not buffer.get(5).any()
    values = np.arange(6).reshape(2, 3).astype(buffer.get(1).dtype)
    buffer.put(values)
    np.testing.assert_array_equal(buffer.get(3)[:2], values)
    buffer.edit((4, slice(1, 3)), values[1, :2])
    assert buffer.get(5)[4].tolist() == [0, 3, 4]
    assert tuple(buffer.rows(2).shape) == (2, 3)
    assert tuple(buffer.tensor.shape) == (5, 3)
    assert buffer.rows(2) is buffer.rows(2), "views are made once"


@pytest.mark.parametrize("make", [HostMemory, device_memory])
def test_uploaded_arrays(make: type[Memory]) -> None:
    array = aligned_zeros((4, 2), "f32")
    array[:] = np.arange(8).reshape(4, 2)
    tensor = make().upload(array)
    np.testing.assert_array_equal(np.from_dlpack(tensor), array)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 1, 7, 3)])
def test_host_memory_is_aligned(shape: tuple[int, ...]) -> None:
    for dtype in ("i8", "f16", "f32"):
        array = aligned_zeros(shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.shape == shape


def test_a_model_runs_in_device_memory(handmade_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_executor, "HostMemory", device_memory)
    executor = load_executor(open_artifact(handmade_artifact))
    session = Session(executor, slots=2)
    ids = [4, 9, 2, 7, 7, 1, 3] * 4
    session.advance({0: ids, 1: ids[:3]})
    saved = session.state.read(1, 3)
    session.advance({1: [5, 6]})
    session.state.write(1, saved)
    session.restore(1, ids[:3], 5)
    logits = session.advance({0: [8], 1: [11]})
    np.testing.assert_array_equal(logits[0], handmade.reference_logits([*ids, 8])[-1])
    np.testing.assert_array_equal(logits[1], handmade.reference_logits([*ids[:3], 11])[-1])
