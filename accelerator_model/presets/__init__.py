"""Accelerator configurations that ship with cosyn, and those a user keeps in a YAML file."""

from __future__ import annotations

import difflib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cosyn.accelerator_model.config import AcceleratorConfig, MemoryTiming
from cosyn.accelerator_model.errors import ConfigError

_FOLDER = Path(__file__).parent


@cache
def preset_names() -> tuple[str, ...]:
    """Names of the shipped configurations."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_config(name_or_path: str) -> AcceleratorConfig:
    """The shipped configuration of that name, or the one in the YAML file at that path.

    ConfigError for an unknown name lists the choices and the closest match; for a file it names the key that is
    unknown, missing or of the wrong type, or the rule that the values break.
    """
    if name_or_path in preset_names():
        return read_config(_FOLDER / f"{name_or_path}.yaml")
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return read_config(Path(name_or_path))
    close = difflib.get_close_matches(name_or_path, preset_names(), 1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(
        f"unknown accelerator {name_or_path!r}; configurations: {', '.join(preset_names())}{hint};"
        " your own YAML file is a path ending in .yaml"
    )


def read_config(path: Path) -> AcceleratorConfig:
    """The configuration in a YAML file."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the accelerator configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return config_from(data, str(path))


def config_from(data: object, where: str) -> AcceleratorConfig:
    """The configuration that a mapping describes; every key of the record must be there, and no other."""
    values = _mapping(data, AcceleratorConfig, where)
    memory = _mapping(values["memory"], MemoryTiming, f"{where}, memory")
    for key, value in memory.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"{where}, memory: {key} must be a whole number of at least 0, found {value!r}")
    for key in ("weight_bits", "kept"):
        numbers = values[key]
        if not isinstance(numbers, list):
            raise ConfigError(f"{where}: {key} must be a list, found {numbers!r}")
        values[key] = tuple(numbers)
    # The keys are checked here; what type each number must have is among the rules of the record.
    return AcceleratorConfig(**{**values, "memory": MemoryTiming(**memory)})


def _mapping(data: object, kind: type, where: str) -> dict[str, Any]:
    """`data` as a dict with exactly the fields of `kind`."""
    names = [item.name for item in fields(kind)]
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping with {', '.join(names)}, found {type(data).__name__}")
    unknown = [str(key) for key in data if key not in names]
    missing = [name for name in names if name not in data]
    if unknown or missing:
        parts = [f"unknown {', '.join(unknown)}"] * bool(unknown) + [f"missing {', '.join(missing)}"] * bool(missing)
        raise ConfigError(f"{where}: {'; '.join(parts)} (keys: {', '.join(names)})")
    return dict(data)


def config_mapping(config: AcceleratorConfig) -> dict[str, object]:
    """The configuration as plain data, the inverse of `config_from`."""
    data = {item.name: getattr(config, item.name) for item in fields(AcceleratorConfig)}
    data["memory"] = {item.name: getattr(config.memory, item.name) for item in fields(MemoryTiming)}
    data["weight_bits"], data["kept"] = list(config.weight_bits), list(config.kept)
    return data
