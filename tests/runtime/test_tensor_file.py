"""Aligned safetensors files: readable by everyone, mapped by us."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.tensor_file import AnyArray, TensorFile, TensorSpec, write_tensors

ARRAYS: dict[str, AnyArray] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.ones((5,), np.float16),
    "bits": np.array([0x3F80, 0x4000], np.uint16),
    "codes": np.arange(64, dtype=np.int8),
    "packed": np.full((3, 7), 200, np.uint8),
    "none": np.zeros((0, 4), np.int32),
    "one": np.array(7, np.int64),
}
DTYPES = {
    "a": "f32",
    "half": "f16",
    "bits": "bf16",
    "codes": "i8",
    "packed": "u8",
    "none": "i32",
    "one": "i64",
}
SPECS = [TensorSpec(name, array.shape, DTYPES[name]) for name, array in ARRAYS.items()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "t.safetensors", SPECS, lambda spec: ARRAYS[spec.name], {"k": "v"})
    return tmp_path / "t.safetensors"


def test_arrays_read_back_aligned(path: Path) -> None:
    file = TensorFile(path)
    assert file.specs == tuple(SPECS)
    assert file.metadata == {"k": "v"}
    for name, expected in ARRAYS.items():
        array = file.array(name)
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
        assert array.ctypes.data % 64 == 0


def test_the_safetensors_library_reads_the_file(path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    tensors = library.load_file(path)
    np.testing.assert_array_equal(tensors["a"].numpy(), ARRAYS["a"])
    assert tensors["bits"].tolist() == [1.0, 2.0]
    assert {n for n in tensors if not n.startswith("__padding.")} == set(ARRAYS)


def test_an_array_outlives_its_file(path: Path) -> None:
    array = TensorFile(path).array("codes")
    path.unlink()
    assert array.sum() == 2016


def test_writing_to_an_array_does_not_reach_the_file(path: Path) -> None:
    TensorFile(path).array("codes")[:] = 0
    assert TensorFile(path).array("codes").sum() == 2016


def test_a_spec_that_does_not_fit_its_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a: expected float32\[2, 3\], found float64\[2, 3\]"):
        write_tensors(tmp_path / "t", SPECS[:1], lambda _: np.zeros((2, 3)))


def test_an_unknown_tensor_is_named(path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"t\.safetensors has no tensor 'b'"):
        TensorFile(path).array("b")


def with_header(header: bytes, data: int = 64) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc", "a header of 3 bytes in a file of 3"),
        (struct.pack("<Q", 1 << 50) + bytes(99), "a header of 1125899906842624 bytes in a file of 107"),
        (with_header(b"not json"), "a header that is not JSON"),
        (with_header(json.dumps({"a": 3}).encode()), "an entry for 'a' that cannot be read: 3"),
        (
            with_header(json.dumps({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}).encode()),
            "an entry for 'a' that cannot be read",
        ),
        (
            with_header(json.dumps({"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}}).encode()),
            "'a' at bytes 0 to 396, where 396 bytes within the file belong",
        ),
        (
            with_header(json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}).encode()),
            "'a' at bytes 0 to 4, where 8 bytes within the file belong",
        ),
    ],
)
def test_files_that_are_none_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        TensorFile(tmp_path / "f")
