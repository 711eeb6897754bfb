"""Weights in huge pages: the same bytes, where the system has them and there is room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from cosyn.runtime import huge_pages
from cosyn.runtime.errors import ArtifactError, HostError
from cosyn.runtime.tensor_file import TensorFile, TensorSpec, write_tensors


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up system: 1 GiB free, no limit, huge pages for those that ask."""
    monkeypatch.setattr(huge_pages, "_POLICY", tmp_path / "enabled")
    monkeypatch.setattr(huge_pages, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(huge_pages, "_GROUP", tmp_path)
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    (tmp_path / "meminfo").write_text("MemTotal: 2097152 kB\nMemFree: 10 kB\nMemAvailable: 1048576 kB\n")
    return tmp_path


def test_a_copy_is_worth_it_up_to_half_of_the_free_memory(system: Path) -> None:
    assert huge_pages.worth_a_copy(512 << 20)
    assert not huge_pages.worth_a_copy((512 << 20) + 1)
    # Less than one page.
    assert not huge_pages.worth_a_copy((2 << 20) - 1)


def test_the_limit_of_a_control_group_counts(system: Path) -> None:
    (system / "memory.max").write_text("268435456\n")
    (system / "memory.current").write_text("67108864\n")
    assert huge_pages.available_bytes() == 192 << 20
    (system / "memory.max").write_text("max\n")
    assert huge_pages.available_bytes() == 1 << 30


@pytest.mark.parametrize("policy", ["always madvise [never]\n", None])
def test_no_copy_without_huge_pages(system: Path, policy: str | None) -> None:
    (system / "enabled").unlink() if policy is None else (system / "enabled").write_text(policy)
    assert not huge_pages.offered()
    assert not huge_pages.worth_a_copy(64 << 20)
    assert not huge_pages.zeros(100).any()


@pytest.mark.parametrize("nbytes", [1, 4097, (2 << 20) + 3])
def test_zeros_begin_at_a_huge_page(nbytes: int) -> None:
    area = huge_pages.zeros(nbytes)
    assert len(area) == nbytes
    assert area.ctypes.data % huge_pages.PAGE_BYTES == 0
    assert not area.any()


def test_a_file_read_in_pieces_is_the_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_PIECE_BYTES", 1000)
    codes = np.random.default_rng(0).integers(0, 256, (37, 1001)).astype(np.uint8)
    specs = [TensorSpec("codes", codes.shape, "u8"), TensorSpec("scales", (5,), "f32")]
    arrays = {"codes": codes, "scales": np.arange(5, dtype=np.float32)}
    path = tmp_path / "w.safetensors"
    write_tensors(path, specs, lambda spec: arrays[spec.name])
    mapped, read = TensorFile(path), TensorFile(path, in_huge_pages=True)
    assert mapped.specs == read.specs
    for name, array in arrays.items():
        found = read.array(name)
        assert np.array_equal(found, array)
        assert np.array_equal(mapped.array(name), array)
        assert found.ctypes.data % 64 == 0
        assert found.flags.writeable


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(bytes(100))
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(ArtifactError, match=r"w.safetensors: the file ended at byte 0, where 100 bytes were expected"):
        TensorFile(path, in_huge_pages=True)


def test_no_memory_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    path = tmp_path / "w.safetensors"
    path.write_bytes(bytes(100))
    monkeypatch.setattr(huge_pages.mmap, "mmap", refuse)
    with pytest.raises(HostError, match=r"w.safetensors: no memory for a copy of 100 bytes") as raised:
        TensorFile(path, in_huge_pages=True)
    assert raised.value.hint == "give --no-huge-pages"


@pytest.mark.skipif(not huge_pages.offered(), reason="this system offers no huge pages")
def test_pages_are_huge() -> None:
    before = _huge_bytes()
    area = huge_pages.zeros(64 << 20)
    area[:] = 1
    # Some may be missing where memory is in pieces.
    assert _huge_bytes() - before >= 32 << 20


def _huge_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("AnonHugePages:"))
