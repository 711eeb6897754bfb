"""What a configuration takes of an FPGA: DSPs, LUTs, flip-flops, block RAMs and UltraRAMs, block by block.

It is the sum over the modules of the RTL (`module_use`); DSPs and memories follow from its structure and are exact,
LUTs and flip-flops are what synthesis makes of it. docs/synthesis.md compares whole configurations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.memory_use import RESOURCES, Use
from cosyn.accelerator_model.module_use import Part, core_parts, shared_parts

__all__ = [
    "RESOURCES",
    "Resources",
    "Shortage",
    "Use",
    "as_table",
    "modules",
    "resources",
    "shortages",
    "smallest_change",
]


@dataclass(frozen=True, slots=True)
class Resources:
    """Use of one core by block, of all cores, and of what there is once."""

    core: Mapping[str, Use]
    once: Mapping[str, Use]
    cores: int

    @property
    def total(self) -> Use:
        return sum(self.core.values(), Use()).times(self.cores) + sum(self.once.values(), Use())


def resources(config: AcceleratorConfig) -> Resources:
    """The resources of `config` by block."""
    return Resources(_blocks(core_parts(config)), _blocks(shared_parts(config)), config.cores)


def _blocks(parts: Iterable[Part]) -> dict[str, Use]:
    found: dict[str, Use] = {}
    for part in parts:
        found[part.block] = found.get(part.block, Use()) + part.each.times(part.count)
    return found


def modules(config: AcceleratorConfig) -> dict[str, Use]:
    """The resources of all instances of each module, without the modules below it."""
    found: dict[str, Use] = {}
    for parts, cores in ((core_parts(config), config.cores), (shared_parts(config), 1)):
        for part in parts:
            found[part.module] = found.get(part.module, Use()) + part.each.times(part.count * cores)
    return found


# -- does it fit -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shortage:
    """One resource of which a configuration needs more than there is."""

    resource: str
    needed: float
    available: float

    def __str__(self) -> str:
        over = self.needed - self.available
        return (
            f"{self.resource} {self.needed:,.0f} of {self.available:,.0f},"
            f" {over:,.0f} too many ({self.needed / self.available:.0%})"
        )


def shortages(config: AcceleratorConfig, available: Mapping[str, float]) -> tuple[Shortage, ...]:
    """The resources that `config` exceeds, by the names of RESOURCES."""
    total = resources(config).total
    return tuple(Shortage(n, getattr(total, n), available[n]) for n in RESOURCES if getattr(total, n) > available[n])


_BUFFERS = ("weight_ring_words", "kv_ring_words", "activation_lines", "vector_lines", "outstanding_bursts")
_STRUCTURE = ("token_replicas", "lanes", "cores")


def smallest_change(config: AcceleratorConfig, available: Mapping[str, float]) -> str:
    """The field that has to shrink least for `config` to fit, as `name from → to`; empty when no one field is enough.

    A buffer rather than the structure, which changes the program too.
    """
    found: list[tuple[bool, float, str]] = []
    for name in (*_BUFFERS, *_STRUCTURE):
        value = getattr(config, name)
        for smaller in _smaller(value):
            try:
                changed = replace(config, **{name: smaller})  # type: ignore[arg-type]  # integers
            except ConfigError:
                continue
            if not shortages(changed, available):
                found.append((name in _STRUCTURE, value / smaller, f"{name} {value} → {smaller}"))
                break
    return min(found)[2] if found else ""


def _smaller(value: int) -> Iterator[int]:
    """Values below `value`, sixteenths of it and then halves, largest first."""
    for part in range(15, 0, -1):
        smaller = value * part // 16
        if 0 < smaller < value:
            yield smaller
    while value > 1:
        value //= 2
        yield value


def as_table(config: AcceleratorConfig) -> list[tuple[str, Use]]:
    """Blocks of a core, then what there is once, then the total: for listings."""
    found = resources(config)
    return [*found.core.items(), *found.once.items(), ("total", found.total)]
