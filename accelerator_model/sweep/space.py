"""What is varied: fields of a configuration, and how weights are stored."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.estimate.weight_form import WeightForm


@dataclass(frozen=True, slots=True)
class Candidates:
    """The legal configurations of a space; `refused` counts the others by the rule that they break."""

    configs: tuple[AcceleratorConfig, ...]
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Space:
    """Every combination of the `axes` (a configuration's field → its values) on `base`, times the weight forms.

    Where `chains` is no axis it follows from the width of a weight word, which it must fill.
    """

    base: AcceleratorConfig
    axes: Mapping[str, Sequence[int]]
    forms: Sequence[WeightForm] = field(default=(WeightForm(4, 32),))

    def __post_init__(self) -> None:
        known = {f.name for f in fields(AcceleratorConfig)} - {"name", "device", "memory", "weight_bits", "kept"}
        unknown = [name for name in self.axes if name not in known]
        if unknown:
            raise ConfigError(f"no field to vary: {', '.join(unknown)}; fields: {', '.join(sorted(known))}")
        empty = [name for name, values in self.axes.items() if not values]
        if empty or not self.forms:
            raise ConfigError(f"nothing to vary in {', '.join(empty) or 'forms'}: give at least one value")

    def candidates(self) -> Candidates:
        """The legal configurations, named after what differs from the base."""
        found: list[AcceleratorConfig] = []
        refused: Counter[str] = Counter()
        for values in itertools.product(*self.axes.values()):
            chosen = dict(zip(self.axes, values, strict=True))
            try:
                found.append(self._config(chosen))
            except ConfigError as error:
                refused[str(error).partition(": ")[2].partition(", found")[0]] += 1
        return Candidates(tuple(found), dict(refused))

    def _config(self, chosen: dict[str, int]) -> AcceleratorConfig:
        if "chains" not in self.axes:
            word, length = 1, chosen.get("chain_length", self.base.chain_length)
            for name in ("channels_per_core", "channel_bytes", "ring_reads"):
                word *= chosen.get(name, getattr(self.base, name))
            chosen = {**chosen, "chains": max(1, word // length)}
        suffix = ",".join(f"{name}={value}" for name, value in chosen.items() if value != getattr(self.base, name))
        changes: dict[str, Any] = {**chosen, "name": f"{self.base.name}[{suffix}]" if suffix else self.base.name}
        return replace(self.base, **changes)
