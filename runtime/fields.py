"""Typed reading of JSON objects: each error names the key, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cosyn.runtime.errors import ArtifactError


class Fields:
    """One JSON object at `where` (such as `manifest.json: model`), read key by key."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise ArtifactError(f"{where}: expected an object, found {_show(value)}")
        self._values: Mapping[str, object] = value
        self._where = where

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self._values.get(key) is not None

    def text(self, key: str, choices: Collection[str] = ()) -> str:
        value = self._values.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        if choices and value not in choices:
            raise self._wrong(key, f"one of {', '.join(sorted(choices))}")
        return value

    def integer(self, key: str, minimum: int = 0) -> int:
        value = self._values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise self._wrong(key, f"an integer of at least {minimum}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._list(key, "strings")
        if not all(isinstance(v, str) for v in value):
            raise self._wrong(key, "a list of strings")
        return tuple(str(v) for v in value)

    def integers(self, key: str, minimum: int = 0) -> tuple[int, ...]:
        value = self._list(key, "integers")
        found = tuple(v for v in value if isinstance(v, int) and not isinstance(v, bool) and v >= minimum)
        if len(found) != len(value):
            raise self._wrong(key, f"a list of integers of at least {minimum}")
        return found

    def child(self, key: str) -> Fields:
        return Fields(self._values.get(key), f"{self._where}.{key}")

    def children(self, key: str) -> tuple[Fields, ...]:
        return tuple(Fields(v, f"{self._where}.{key}[{i}]") for i, v in enumerate(self._list(key, "objects")))

    def members(self) -> tuple[tuple[str, Fields], ...]:
        """Each key of an object of objects, with its value."""
        return tuple((key, Fields(value, f"{self._where}.{key}")) for key, value in self._values.items())

    def _list(self, key: str, of: str) -> Sequence[object]:
        value = self._values.get(key)
        if not isinstance(value, list):
            raise self._wrong(key, f"a list of {of}")
        return value

    def _wrong(self, key: str, expected: str) -> ArtifactError:
        found = _show(self._values[key]) if key in self._values else "nothing"
        return ArtifactError(f"{self._where}.{key}: expected {expected}, found {found}", "compile the artifact again")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
