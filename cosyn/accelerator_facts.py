"""An accelerator target in numbers: arithmetic, clock, memory, and what it takes of the device that it is meant for."""

from __future__ import annotations

from dataclasses import dataclass

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.resources import RESOURCES, Use, resources, shortages
from cosyn.accelerator_target import PREFIX
from cosyn.targets import Target
from cosyn.targets.fpga_device import FpgaDevice, load_fpga_device


@dataclass(frozen=True, slots=True)
class AcceleratorFacts:
    """A configuration and the device that it names; `use` of it is the resource model's (estimated, not placed)."""

    config: AcceleratorConfig
    device: FpgaDevice
    use: Use

    @property
    def short(self) -> tuple[str, ...]:
        """What the device has too little of, as `resource needed of available …`; empty when the design fits."""
        available = {name: self.device.resources[name].value for name in RESOURCES}
        return tuple(map(str, shortages(self.config, available)))

    def resource_use(self) -> dict[str, dict[str, float]]:
        """Resource → {needed, available}."""
        return {
            name: {"needed": getattr(self.use, name), "available": self.device.resources[name].value}
            for name in RESOURCES
        }

    def summary(self) -> str:
        """One line: cores x MACs, clock, memory bandwidth that its channels ask for, device, and whether it fits."""
        config = self.config
        fits = f"estimated too large: {'; '.join(self.short)}" if self.short else "estimated to fit"
        return (
            f"{config.cores} x {config.macs} MACs at {config.clock_hz / 1e6:g} MHz,"
            f" {config.peak_bytes_per_second / 1e9:.0f} GB/s, for {self.device.device}, {fits}"
        )

    def as_data(self) -> dict[str, object]:
        """The same as JSON."""
        config = self.config
        return {
            "cores": config.cores,
            "macs_per_core": config.macs,
            "clock_hz": config.clock_hz,
            "memory_bytes_per_second": config.peak_bytes_per_second,
            "fits": not self.short,
            "resources": self.resource_use(),
            "device": {
                "name": self.device.name,
                "part": self.device.part,
                "facts": {
                    name: {"value": fact.value, "unit": fact.unit, "source": fact.source}
                    for name, fact in self.device.facts().items()
                },
            },
        }


def accelerator_facts(target: Target) -> AcceleratorFacts | None:
    """Of an accelerator target; None for other kinds. ConfigError, TargetError for a device that is not described."""
    if target.kind != "fpga":
        return None
    config = load_config(target.name.removeprefix(PREFIX))
    return AcceleratorFacts(config, load_fpga_device(config.device), resources(config).total)
