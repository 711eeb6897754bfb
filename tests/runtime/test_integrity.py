"""Damage is found before anything runs, and named."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import handmade
import pytest

from cosyn.runtime import integrity
from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.integrity import FileRecord, check_files, manifest_seal, record_file, seal_manifest
from cosyn.runtime.loader import open_artifact


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(integrity, "CHUNK_BYTES", 1000)
    return 1000


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_a_small_file_has_its_plain_hash(size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert record_file(path) == FileRecord(size, hashlib.sha256(path.read_bytes()).hexdigest())
    check_files(tmp_path, {"file": record_file(path)})


@pytest.mark.parametrize("size", [1001, 2000, 2001, 7300])
def test_a_large_file_has_the_hash_of_its_chunk_digests(size: int, small_chunks: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(size)
    path.write_bytes(data)
    record = record_file(path)
    digests = [hashlib.sha256(data[i : i + small_chunks]).digest() for i in range(0, size, small_chunks)]
    assert record.chunks_sha256 == tuple(d.hex() for d in digests)
    assert record.sha256 == hashlib.sha256(b"".join(digests)).hexdigest()
    check_files(tmp_path, {"file": record})


@pytest.mark.parametrize("place", [0, 999, 1000, 2500])
def test_a_changed_byte_of_a_large_file_is_located(place: int, small_chunks: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2501))
    record = record_file(path)
    data = bytearray(2501)
    data[place] = 1
    path.write_bytes(data)
    first = place // small_chunks * small_chunks
    last = min(first + small_chunks, 2501) - 1
    with pytest.raises(ArtifactError, match=f"file is damaged between bytes {first} and {last}"):
        check_files(tmp_path, {"file": record})


def test_a_root_that_is_not_of_its_chunks_is_refused(small_chunks: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2501))
    record = record_file(path)
    with pytest.raises(ArtifactError, match=r"files\.file: sha256 is not that of its chunks_sha256"):
        check_files(tmp_path, {"file": FileRecord(record.nbytes, "0" * 64, record.chunks_sha256)})


@pytest.mark.parametrize("name", ["model.so", "weights.safetensors"])
def test_an_artifact_with_a_changed_byte_is_refused(name: str, artifact: Path) -> None:
    path = artifact / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=f"^{name} is damaged: its SHA-256 is") as caught:
        open_artifact(artifact)
    assert caught.value.exit_code == 1
    assert "compile the artifact again" in caught.value.hint


def test_every_byte_of_the_manifest_counts(artifact: Path) -> None:
    path = artifact / "manifest.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ArtifactError):
            open_artifact(artifact)


def test_a_missing_or_cut_file_is_named(artifact: Path) -> None:
    path = artifact / "weights.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ArtifactError, match=f"expected {size} bytes, found {size - 64}"):
        open_artifact(artifact)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"weights\.safetensors is missing"):
        open_artifact(artifact)


def test_a_sealed_manifest_reads_back() -> None:
    text = seal_manifest({"a": 1, "ü": [2]})
    value = json.loads(text)
    assert manifest_seal(text, value) == value["manifest_sha256"]
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged"):
        manifest_seal(text.replace(b"2", b"3", 1), json.loads(text.replace(b"2", b"3", 1)))
    with pytest.raises(ArtifactError, match="manifest_sha256: expected 64 hexadecimal digits, found None"):
        manifest_seal(b"{}", {})


def test_files_beside_the_artifact_do_not_matter(artifact: Path) -> None:
    (artifact / "notes.txt").write_text("mine")
    assert open_artifact(artifact).file("notes.txt") is None
    assert open_artifact(artifact).file("model.so") == artifact / "model.so"
    assert handmade.read_json(artifact)["format"] == "cosyn-artifact/1"
