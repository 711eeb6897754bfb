"""Which choice serves which linear kernel on one machine: what `cosyn tune` measured, and a compilation asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout

FORMAT = "cosyn-choices/1"

ANY_ROWS = "any"
"""`ChoiceKey.rows` of a kernel that takes any number of rows."""


class ChoiceTableError(ValueError):
    """A text that is no table of choices, or of another version; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What choices were measured on: they hold for no other. `features` as `required_features` of the target."""

    cpu: str
    features: tuple[str, ...]
    threads: int


@dataclass(frozen=True, slots=True, order=True)
class ChoiceKey:
    """A linear kernel, whatever model it is in: `[rows, k]` times a weight `[n, k]` stored as `weight`."""

    op: str
    n: int
    k: int
    weight: str
    activation: str
    rows: str

    def __str__(self) -> str:
        return f"{self.op} {self.n}x{self.k} {self.weight}, {self.activation} x, rows {self.rows}"


def choice_key(op: str, layout: PackedLayout, seq: int | None) -> ChoiceKey:
    """The key of a kernel for `seq` rows (None: any number)."""
    weight = str(layout.format) if layout.format else layout.dtype.value
    return ChoiceKey(op, layout.n, layout.k, weight, layout.activation, ANY_ROWS if seq is None else str(seq))


@dataclass(frozen=True, slots=True)
class Measured:
    """The choice for a kernel, and the seconds of one call with it and with the default."""

    choice: KernelChoice
    seconds: float
    default_seconds: float


@dataclass(frozen=True)
class ChoiceTable:
    """What was measured on `machine`; kernels that are not in it get the default."""

    machine: Machine | None = None
    kernels: Mapping[ChoiceKey, Measured] = field(default_factory=dict)

    def choice(self, key: ChoiceKey) -> KernelChoice:
        """The choice for a kernel."""
        found = self.kernels.get(key)
        return found.choice if found else DEFAULT_KERNEL_CHOICE

    def merged(self, newer: ChoiceTable) -> ChoiceTable:
        """Both tables; what `newer` says counts, and a table of another machine than its own does not."""
        older = self.kernels if self.machine == newer.machine else {}
        return ChoiceTable(newer.machine, {**older, **newer.kernels})

    def to_json(self, version: str) -> str:
        """The table as text; `version` is cosyn's."""
        assert self.machine is not None
        kernels = [
            {**asdict(key), "choice": m.choice.values(), "seconds": m.seconds, "default_seconds": m.default_seconds}
            for key, m in sorted(self.kernels.items(), key=lambda item: item[0])
        ]
        data = {
            "format": FORMAT,
            "cosyn_version": version,
            "defaults": DEFAULT_KERNEL_CHOICE.values(),
            "machine": asdict(self.machine),
            "kernels": kernels,
        }
        return json.dumps(data, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, version: str) -> ChoiceTable:
        """The table that `to_json` wrote.

        ChoiceTableError for other text, and where cosyn or the choices have changed since: the kernels that were
        measured are then others.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ChoiceTableError(f"it is not JSON ({error})") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise ChoiceTableError(f"expected the format {FORMAT!r}, found {found!r}")
        if data.get("cosyn_version") != version:
            raise ChoiceTableError(f"it was measured by cosyn {data.get('cosyn_version')}, this is {version}")
        if data.get("defaults") != DEFAULT_KERNEL_CHOICE.values():
            raise ChoiceTableError("its kernels had other choices than those of this version")
        try:
            machine = data["machine"]
            found_on = Machine(
                _text(machine["cpu"]), tuple(map(_text, machine["features"])), _count(machine["threads"])
            )
            return ChoiceTable(found_on, dict(map(_kernel, data["kernels"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ChoiceTableError(f"it is damaged ({type(error).__name__}: {error})") from error


def _machine(data: Mapping[str, Any]) -> Machine:
    return Machine(_text(data["cpu"]), tuple(map(_text, data["features"])), _count(data["threads"]))


def _kernel(row: Mapping[str, Any]) -> tuple[ChoiceKey, Measured]:
    op, weight, activation, rows = (_text(row[name]) for name in ("op", "weight", "activation", "rows"))
    key = ChoiceKey(op, _count(row["n"]), _count(row["k"]), weight, activation, rows)
    choice = DEFAULT_KERNEL_CHOICE.with_values({n: _whole(v) for n, v in row["choice"].items()})
    return key, Measured(choice, float(row["seconds"]), float(row["default_seconds"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, found {value!r}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"expected a whole number, found {value!r}")
    return value


def _count(value: object) -> int:
    if _whole(value) == 0:
        raise ValueError("expected a number of at least 1, found 0")
    return _whole(value)
