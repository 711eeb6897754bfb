"""FPGA devices as data: resources, memory, power and energy, each number with its unit and source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cosyn.targets.errors import TargetError

_FOLDER = Path(__file__).parent / "fpga"

RESOURCES = ("dsp", "lut", "ff", "bram36", "uram")
"""What a design takes of a device."""

ENERGIES = ("int8_mac", "special_element", "on_chip_byte", "memory_byte", "static_power")

_UNITS = {
    "dsp": ("DSP48E2", "DSP58"), "lut": ("LUT",), "ff": ("FF",), "bram36": ("RAMB36",), "uram": ("URAM288",),
    "slrs": ("dies",), "bandwidth": ("GB/s",), "capacity": ("GB",), "channels": ("channels",), "power": ("W",),
    "price": ("USD",), "int8_mac": ("pJ",), "special_element": ("pJ",), "on_chip_byte": ("pJ",),
    "memory_byte": ("pJ",), "static_power": ("W",),
}  # fmt: skip

_REQUIRED = ("name", "device", "part", "resources", "slrs", "memory", "power", "energy")

_SCALE = {"GB/s": 1e9, "GB": 1e9, "pJ": 1e-12}


@dataclass(frozen=True, slots=True)
class Fact:
    """`value` in `unit`, and where it is from; `assumed` when it is our own reasoning."""

    value: float
    unit: str
    source: str

    @property
    def base(self) -> float:
        """The value in bytes, bytes/s, joules, or as it is."""
        return self.value * _SCALE.get(self.unit, 1.0)

    @property
    def assumed(self) -> bool:
        return self.source.startswith("assumed")


@dataclass(frozen=True, slots=True)
class FpgaDevice:
    """One FPGA board. `resources` by the names of RESOURCES, `energy` by those of ENERGIES."""

    name: str
    device: str
    part: str
    resources: Mapping[str, Fact]
    slrs: Fact
    memory_kind: str
    bandwidth: Fact
    capacity: Fact
    channels: Fact
    power: Fact
    energy: Mapping[str, Fact]
    price: Fact | None = None

    def facts(self) -> dict[str, Fact]:
        """Every number by its name."""
        table = {**self.resources, "slrs": self.slrs, "memory bandwidth": self.bandwidth}
        table |= {"memory capacity": self.capacity, "memory channels": self.channels, "power": self.power}
        table |= {f"energy {name}": fact for name, fact in self.energy.items()}
        return table | ({"price": self.price} if self.price else {})


@cache
def fpga_device_names() -> tuple[str, ...]:
    """Names of the devices that ship with cosyn."""
    return tuple(path.stem for path in sorted(_FOLDER.glob("*.yaml")))


def load_fpga_device(name_or_path: str) -> FpgaDevice:
    """The device of that name, or the one in the YAML file at that path; TargetError lists the choices."""
    if name_or_path in fpga_device_names():
        return read_fpga_device(_FOLDER / f"{name_or_path}.yaml")
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return read_fpga_device(Path(name_or_path))
    close = difflib.get_close_matches(name_or_path, fpga_device_names(), 1, cutoff=0.4)
    closest = f"did you mean {close[0]!r}? " if close else ""
    raise TargetError(
        f"unknown FPGA device {name_or_path!r}; devices: {', '.join(fpga_device_names())}",
        f"{closest}your own description is a path ending in .yaml",
    )


def read_fpga_device(path: Path) -> FpgaDevice:
    """The device in a YAML file; TargetError names the file, the key and the rule."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror}", "give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise TargetError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    top = _keys(data, path, "", _REQUIRED, ("price",))
    resources = _keys(top["resources"], path, "resources", RESOURCES)
    memory = _keys(top["memory"], path, "memory", ("kind", "bandwidth", "capacity", "channels"))
    energy = _keys(top["energy"], path, "energy", ENERGIES)
    return FpgaDevice(
        str(top["name"]), str(top["device"]), str(top["part"]),
        {n: _fact(resources, path, "resources", n) for n in RESOURCES},
        _fact(top, path, "", "slrs"),
        str(memory["kind"]),
        _fact(memory, path, "memory", "bandwidth"),
        _fact(memory, path, "memory", "capacity"),
        _fact(memory, path, "memory", "channels"),
        _fact(top, path, "", "power"),
        {n: _fact(energy, path, "energy", n) for n in ENERGIES},
        _fact(top, path, "", "price") if "price" in top else None,
    )  # fmt: skip


def _keys(
    data: Any, path: Path, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    place = f"{path}: {where}".removesuffix(": ")
    if not isinstance(data, dict):
        raise TargetError(f"{place}: must be a mapping with {', '.join(required)}, found {data!r}")
    unknown = [str(key) for key in data if key not in (*required, *optional)]
    missing = [key for key in required if key not in data]
    if unknown or missing:
        parts = [f"unknown {', '.join(unknown)}"] * bool(unknown) + [f"missing {', '.join(missing)}"] * bool(missing)
        raise TargetError(f"{place}: {'; '.join(parts)}", f"keys here: {', '.join((*required, *optional))}")
    return data


def _fact(data: Mapping[str, Any], path: Path, where: str, name: str) -> Fact:
    key = f"{where}.{name}" if where else name
    fact = _keys(data[name], path, key, ("value", "unit", "source"))
    value, unit, source = fact["value"], fact["unit"], fact["source"]
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise TargetError(f"{path}: {key}.value: must be a positive number, found {value!r}")
    if unit not in _UNITS[name]:
        raise TargetError(f"{path}: {key}.unit: must be {' or '.join(_UNITS[name])}, found {unit!r}")
    if not isinstance(source, str) or not source.strip():
        raise TargetError(f"{path}: {key}.source: must say where the number is from, found {source!r}")
    return Fact(float(value), str(unit), source)
