"""safetensors files in which every tensor starts at a multiple of 64 bytes: written in one pass, mapped or read.

The format allows no gaps, so alignment is made of one-dimensional u8 tensors named `__padding.N`; any
safetensors reader accepts the file.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosyn.runtime import huge_pages
from cosyn.runtime.dtypes import BY_NAME, BY_SAFETENSORS
from cosyn.runtime.errors import ArtifactError, HostError

ALIGNMENT = 64
_PADDING = "__padding."
_HEADER_LIMIT = 100 << 20

AnyArray = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and element type (`f32`, `i8`, …; bf16 travels as uint16) of one stored tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * BY_NAME[self.dtype].numpy.itemsize


def write_tensors(
    path: Path,
    specs: Sequence[TensorSpec],
    load: Callable[[TensorSpec], AnyArray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the tensors in order, asking `load` for one at a time so that memory holds only one; fsynced.

    Raises ValueError where `load` returns another shape or element type than the spec says.
    """
    header, paddings = _header(specs, metadata or {})
    with path.open("wb") as file:
        file.write(header)
        for spec, padding in zip(specs, paddings, strict=True):
            array = load(spec)
            if array.shape != spec.shape or array.dtype != BY_NAME[spec.dtype].numpy:
                raise ValueError(
                    f"{spec.name}: expected {BY_NAME[spec.dtype].numpy}{list(spec.shape)}, "
                    f"found {array.dtype}{list(array.shape)}"
                )
            file.write(np.ascontiguousarray(array).data)
            file.write(bytes(padding))
        file.flush()
        os.fsync(file.fileno())


def _header(specs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> tuple[bytes, list[int]]:
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    paddings = []
    offset = 0
    for i, spec in enumerate(specs):
        end = offset + spec.nbytes
        table[spec.name] = {
            "dtype": BY_NAME[spec.dtype].safetensors,
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        padding = -end % ALIGNMENT
        if padding:
            table[f"{_PADDING}{i}"] = {
                "dtype": "U8",
                "shape": [padding],
                "data_offsets": [end, end + padding],
            }
        paddings.append(padding)
        offset = end + padding
    text = json.dumps(table, separators=(",", ":")).encode()
    # The data follow the header directly, and the header may end in spaces.
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text, paddings


class TensorFile:
    """A safetensors file. Arrays from it keep its memory alive.

    Mapped, so that nothing is read before it is used; with `in_huge_pages` read as a whole.
    """

    def __init__(self, path: Path, *, in_huge_pages: bool = False) -> None:
        self.path = path
        self._bytes = _read(path) if in_huge_pages else _map(path)
        self.metadata: dict[str, str] = {}
        self._entries: dict[str, tuple[TensorSpec, int]] = {}
        self._read_header()

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The stored tensors in file order, paddings left out."""
        return tuple(spec for spec, _ in self._entries.values())

    def array(self, name: str) -> AnyArray:
        """A view of one tensor, without copying; ArtifactError for a name that the file lacks."""
        if name not in self._entries:
            raise ArtifactError(f"{self.path.name} has no tensor {name!r}; it has {len(self._entries)} others")
        spec, offset = self._entries[name]
        dtype = BY_NAME[spec.dtype].numpy
        return np.frombuffer(self._bytes, dtype, prod(spec.shape), offset).reshape(spec.shape)

    def _read_header(self) -> None:
        size = len(self._bytes)
        length = struct.unpack("<Q", self._bytes[:8])[0] if size >= 8 else size
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise self._damaged(f"a header of {length} bytes in a file of {size}")
        try:
            table = json.loads(bytes(self._bytes[8 : 8 + length]))
        except ValueError as error:
            raise self._damaged(f"a header that is not JSON ({error})") from error
        self.metadata = table.pop("__metadata__", {})
        for name, entry in table.items():
            self._add(name, entry, 8 + length)

    def _add(self, name: str, entry: Mapping[str, object], base: int) -> None:
        match entry:
            case {"dtype": str(code), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if (
                code in BY_SAFETENSORS and all(isinstance(d, int) and d >= 0 for d in shape)
            ):
                spec = TensorSpec(name, tuple(int(d) for d in shape if isinstance(d, int)), BY_SAFETENSORS[code].name)
            case _:
                raise self._damaged(f"an entry for {name!r} that cannot be read: {entry}")
        if not 0 <= begin <= end <= len(self._bytes) - base or end - begin != spec.nbytes:
            raise self._damaged(f"{name!r} at bytes {begin} to {end}, where {spec.nbytes} bytes within the file belong")
        if not name.startswith(_PADDING):
            self._entries[name] = (spec, base + begin)

    def _damaged(self, found: str) -> ArtifactError:
        return ArtifactError(
            f"{self.path.name}: expected a safetensors file, found {found}", "compile the artifact again"
        )


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        # Copy on write: numpy shares only writable memory with TVM, and nothing may reach the file.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _read(path: Path) -> memoryview:
    try:
        return huge_pages.read_file(path).data
    except EOFError as error:
        raise ArtifactError(f"{path.name}: {error}", "copy or compile the artifact again") from error
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        needed = path.stat().st_size
        raise HostError(f"{path.name}: no memory for a copy of {needed} bytes", "give --no-huge-pages") from error
