"""Hashes of an artifact's files. The one definition: the writer records with it, the loader checks with it.

A file of at most 64 MiB has its plain SHA-256. A larger one is hashed in chunks of 64 MiB on several cores,
and its `sha256` is that of the concatenated chunk digests: gigabytes of weights are checked without delaying
the start. The manifest cannot list itself, so it carries the SHA-256 of its own bytes with the digest's place
set to zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.host_cpu import usable_cores

CHUNK_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
SEAL_KEY = "manifest_sha256"
_BLANK_SEAL = "0" * 64
_DAMAGED = "copy or compile the artifact again"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the manifest says of one file; `chunks_sha256` is empty for a file of one chunk."""

    nbytes: int
    sha256: str
    chunks_sha256: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The value under `files` in the manifest."""
        record: dict[str, object] = {"sha256": self.sha256, "bytes": self.nbytes}
        if self.chunks_sha256:
            record["chunks_sha256"] = list(self.chunks_sha256)
        return record


def record_file(path: Path) -> FileRecord:
    """Hash a finished file for the manifest."""
    with _pool() as pool:
        chunks = tuple(future.result() for future in _submit(path, pool))
    if len(chunks) == 1:
        return FileRecord(path.stat().st_size, chunks[0])
    return FileRecord(path.stat().st_size, _root(chunks), chunks)


def check_files(folder: Path, records: Mapping[str, FileRecord]) -> None:
    """Compare every listed file of `folder` with its record.

    ArtifactError names the first that differs, and where.
    """
    for name, record in records.items():
        _check_size(folder / name, name, record)
    with _pool() as pool:
        pending = {name: _submit(folder / name, pool) for name in records}
        for name, futures in pending.items():
            _compare(name, records[name], [future.result() for future in futures])


def seal_manifest(manifest: Mapping[str, object]) -> bytes:
    """The bytes of manifest.json: readable JSON that ends in the digest of itself."""
    blank = json.dumps({**manifest, SEAL_KEY: _BLANK_SEAL}, indent=1, ensure_ascii=False).encode() + b"\n"
    digest = hashlib.sha256(blank).hexdigest()
    return blank.replace(_quoted(_BLANK_SEAL), _quoted(digest))


def manifest_seal(text: bytes, manifest: Mapping[str, object]) -> str:
    """The checked digest of manifest.json, which also identifies the artifact.

    ArtifactError where it does not fit.
    """
    seal = manifest.get(SEAL_KEY)
    if not isinstance(seal, str) or len(seal) != len(_BLANK_SEAL):
        raise ArtifactError(f"manifest.json: {SEAL_KEY}: expected 64 hexadecimal digits, found {seal!r}", _DAMAGED)
    found = hashlib.sha256(text.replace(_quoted(seal), _quoted(_BLANK_SEAL))).hexdigest()
    if found != seal:
        raise ArtifactError(
            f"manifest.json is damaged: its bytes hash to {found[:12]}…, it says {seal[:12]}…", _DAMAGED
        )
    return seal


def _quoted(digest: str) -> bytes:
    return f'"{SEAL_KEY}": "{digest}"'.encode()


def _pool() -> ThreadPoolExecutor:
    # hashlib releases the interpreter lock, so threads scale: about 1.8 GB/s for each core with SHA
    # extensions.
    return ThreadPoolExecutor(max_workers=min(8, usable_cores()))


def _submit(path: Path, pool: Executor) -> list[Future[str]]:
    """One digest in the making for each chunk of the file; one for an empty file."""
    starts = range(0, max(1, path.stat().st_size), CHUNK_BYTES)
    return [pool.submit(_chunk_digest, path, start) for start in starts]


def _chunk_digest(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        left = CHUNK_BYTES
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _root(chunks: Sequence[str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(c) for c in chunks)).hexdigest()


def _check_size(path: Path, name: str, record: FileRecord) -> None:
    if not path.is_file():
        raise ArtifactError(f"{name} is missing from the artifact {path.parent}", _DAMAGED)
    size = path.stat().st_size
    if size != record.nbytes:
        raise ArtifactError(f"{name} is damaged: expected {record.nbytes} bytes, found {size}", _DAMAGED)


def _compare(name: str, record: FileRecord, chunks: Sequence[str]) -> None:
    if len(chunks) == 1:
        if chunks[0] != record.sha256:
            raise ArtifactError(
                f"{name} is damaged: its SHA-256 is {chunks[0][:12]}…, not {record.sha256[:12]}…",
                _DAMAGED,
            )
        return
    for i, (found, expected) in enumerate(zip(chunks, record.chunks_sha256, strict=False)):
        if found != expected:
            first, last = i * CHUNK_BYTES, min((i + 1) * CHUNK_BYTES, record.nbytes) - 1
            raise ArtifactError(
                f"{name} is damaged between bytes {first} and {last}: their SHA-256 is {found[:12]}…, "
                f"the manifest says {expected[:12]}…",
                _DAMAGED,
            )
    if _root(chunks) != record.sha256:
        raise ArtifactError(f"manifest.json: files.{name}: sha256 is not that of its chunks_sha256", _DAMAGED)
