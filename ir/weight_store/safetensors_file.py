"""Reads one safetensors file: header first, tensors as views of the mapped file.

Format: 8 bytes of header length (little endian), a JSON header, then the tensors' bytes
(https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosyn.ir.dtype import DType
from cosyn.ir.errors import WeightError
from cosyn.ir.types import TensorType
from cosyn.ir.weights import Array, missing

_FLOATS = {"F32": DType.F32, "F16": DType.F16, "BF16": DType.BF16}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: its type name there, shape, and byte range from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class SafetensorsFile:
    """A weight store over one file. The header is read once; every tensor must lie within the file."""

    path: Path

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Tensors by name; WeightError where the file is cut short or is not a safetensors file."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise self._damaged(f"a header of {length} bytes does not fit into its {size} bytes")
            try:
                header: dict[str, Any] = json.loads(file.read(length))
            except ValueError as error:
                raise self._damaged("its header is not JSON") from error
        header.pop("__metadata__", None)
        entries = {}
        for name, entry in header.items():
            start, stop = (8 + length + offset for offset in entry["data_offsets"])
            if stop > size:
                raise self._damaged(f"tensor {name} ends at byte {stop} of a file of {size} bytes")
            entries[name] = Entry(entry["dtype"], tuple(entry["shape"]), start, stop)
        return entries

    def _damaged(self, reason: str) -> WeightError:
        return WeightError(
            f"{self.path.name} is not a whole safetensors file: {reason}. Download or copy it again ({self.path})"
        )

    @cached_property
    def _bytes(self) -> Array:
        return np.memmap(self.path, np.uint8, "r")

    def keys(self) -> Iterable[str]:
        return self.entries.keys()

    def type(self, key: str) -> TensorType:
        entry = self._entry(key)
        dtype = _FLOATS.get(entry.dtype)
        if dtype is None:
            raise WeightError(
                f"tensor {key} of {self.path.name} has element type {entry.dtype}; expected one of "
                f"{', '.join(_FLOATS)}. A checkpoint that is already quantized cannot be read"
            )
        return TensorType(entry.shape, dtype)

    def load(self, key: str) -> Array:
        """A read-only view of the mapped file; bytes are read when touched."""
        entry, declared = self._entry(key), self.type(key)
        expected = int(declared.nbytes)
        if entry.stop - entry.start != expected:
            raise self._damaged(
                f"tensor {key} takes {entry.stop - entry.start} bytes where {declared} needs {expected}"
            )
        flat: Array = self._bytes[entry.start : entry.stop].view(declared.dtype.numpy)
        return flat.reshape(entry.shape)

    def _entry(self, key: str) -> Entry:
        if key not in self.entries:
            raise missing(key, self.entries)
        return self.entries[key]
