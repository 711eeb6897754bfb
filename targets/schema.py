"""The schema of a target description: which keys there are, and what each may hold.

Every check reports the file, the key, the value found and the rule that it breaks.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosyn.targets.errors import TargetError
from cosyn.targets.quantity import UNITS, Dimension, Quantity
from cosyn.targets.target import Limits, Peaks, Target

KINDS = ("cpu", "cuda", "opencl")
STATUSES = ("supported", "experimental")
PRECISIONS = ("f64", "f32", "tf32", "bf16", "f16", "fp8", "i8", "i4")

_REQUIRED = ("name", "kind", "device", "arch", "status")
_OPTIONAL = ("aliases", "peaks", "limits", "features")
_PEAKS = {
    "memory_bandwidth": Dimension.BANDWIDTH,
    "memory_capacity": Dimension.CAPACITY,
    "power": Dimension.POWER,
}
# Generous ranges: they catch a wrong unit (kilobytes for bytes), not an unusual chip.
_LIMITS = {
    "max_threads": (1, 4096),
    "shared_memory_bytes": (1024, 16 << 20),
    "warp_size": (1, 128),
    "max_registers": (16, 1024),
    "max_allocation_bytes": (1 << 20, 1 << 44),
}


class _Reader:
    """One mapping of the file, with the path of keys that leads to it."""

    def __init__(self, file: Path, where: str, data: object) -> None:
        self.file, self.where = file, where
        if not isinstance(data, Mapping):
            raise self.error(where or "the file", data, "must be a mapping of keys to values")
        self.data: Mapping[Any, Any] = data

    def error(self, key: str, value: object, rule: str) -> TargetError:
        message = f"{self.file}: {key}: {rule}, found {value!r}"
        return TargetError(message, "docs/targets.md lists every key")

    def key(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def known(self, names: Sequence[str]) -> None:
        for name in self.data:
            if name not in names:
                close = difflib.get_close_matches(str(name), names, 1)
                closest = f"did you mean {close[0]!r}? " if close else ""
                message = f"{self.file}: {self.key(str(name))}: unknown key"
                raise TargetError(message, f"{closest}keys here: {', '.join(names)}")

    def required(self, names: Sequence[str]) -> None:
        missing = [self.key(n) for n in names if n not in self.data]
        if missing:
            raise TargetError(
                f"{self.file}: missing {', '.join(missing)}",
                f"every target needs: {', '.join(self.key(n) for n in names)}",
            )

    def text(self, name: str) -> str:
        value = self.data[name]
        if not isinstance(value, str) or not value.strip():
            raise self.error(self.key(name), value, "must be a non-empty text")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        value = self.text(name)
        if value not in choices:
            raise self.error(self.key(name), value, f"must be one of {', '.join(choices)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self.error(self.key(name), value, "must be a list of texts")
        return tuple(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        if name not in self.data:
            return None
        value = self.data[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(self.key(name), value, f"must be a whole number in {low}..{high}")
        return value

    def inner(self, name: str) -> _Reader:
        return _Reader(self.file, self.key(name), self.data[name])

    def quantity(self, name: str, dimension: Dimension) -> Quantity:
        inner = self.inner(name)
        inner.known(("value", "unit", "source"))
        inner.required(("value", "unit", "source"))
        value = inner.data["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise inner.error(inner.key("value"), value, "must be a positive number")
        units = [u for u, (d, _) in UNITS.items() if d is dimension]
        return Quantity(float(value), inner.choice("unit", units), inner.text("source"))


def _peaks(reader: _Reader) -> Peaks:
    if "peaks" not in reader.data:
        return Peaks()
    peaks = reader.inner("peaks")
    peaks.known(("compute", *_PEAKS))
    table = {n: peaks.quantity(n, d) for n, d in _PEAKS.items() if n in peaks.data}
    compute: dict[str, Quantity] = {}
    if "compute" in peaks.data:
        inner = peaks.inner("compute")
        inner.known(PRECISIONS)
        compute = {n: inner.quantity(n, Dimension.COMPUTE) for n in inner.data}
    return Peaks(compute, table.get("memory_bandwidth"), table.get("memory_capacity"), table.get("power"))


def _limits(reader: _Reader) -> tuple[Limits, str]:
    if "limits" not in reader.data:
        return Limits(), ""
    limits = reader.inner("limits")
    limits.known((*_LIMITS, "source"))
    limits.required(("source",))
    values = {n: limits.integer(n, *span) for n, span in _LIMITS.items()}
    return Limits(**values), limits.text("source")


def parse_target(data: object, file: Path) -> Target:
    """The target that `data` (the parsed YAML of `file`) describes; TargetError where a rule is broken."""
    reader = _Reader(file, "", data)
    reader.known((*_REQUIRED, *_OPTIONAL))
    reader.required(_REQUIRED)
    limits, limits_source = _limits(reader)
    return Target(
        name=reader.text("name"),
        kind=reader.choice("kind", KINDS),
        device=reader.text("device"),
        arch=reader.text("arch"),
        status=reader.choice("status", STATUSES),
        aliases=reader.texts("aliases"),
        peaks=_peaks(reader),
        limits=limits,
        features=frozenset(reader.texts("features")),
        limits_source=limits_source,
        path=file,
    )
