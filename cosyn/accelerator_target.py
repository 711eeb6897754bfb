"""Targets that are accelerator configurations: `fpga:NAME`, or `fpga:FILE.yaml`."""

from __future__ import annotations

from pathlib import Path

from cosyn.accelerator_model.presets import load_config, preset_names
from cosyn.targets import Target, load_target

PREFIX = "fpga:"


def resolve_target(name: str) -> Target:
    """The target called `name`. TargetError, ConfigError: the choices and the closest match."""
    if not name.startswith(PREFIX):
        return load_target(name)
    text = name.removeprefix(PREFIX)
    config = load_config(text)
    path = Path(text) if text.endswith((".yaml", ".yml")) else None
    # A file keeps its path: that is what the compiler reads it by.
    full = name if path is not None else f"{PREFIX}{config.name}"
    device = f"accelerator {config.name} for {config.device}"
    return Target(full, "fpga", device, f"{config.macs}x{config.cores}", "accelerator", path=path)


def accelerator_targets() -> tuple[Target, ...]:
    """Every configuration that ships, as a target."""
    return tuple(resolve_target(f"{PREFIX}{name}") for name in preset_names())
