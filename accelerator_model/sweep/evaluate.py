"""Every point of a space at once: speed, energy and resources as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.energy import total_energy
from cosyn.accelerator_model.estimate import Design, Operation, WeightForm, WeightForms, estimate_step
from cosyn.accelerator_model.resources import RESOURCES, resources
from cosyn.accelerator_model.sweep.space import Space
from cosyn.targets.fpga_device import FpgaDevice

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Points:
    """One row per configuration and weight form: `config` and `form` number them, `columns` hold what was found."""

    configs: tuple[AcceleratorConfig, ...]
    forms: tuple[WeightForm, ...]
    config: NDArray[np.int64]
    form: NDArray[np.int64]
    columns: Mapping[str, Column]
    fits: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.config)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked of each point: a decoded token of `items` at `context` on `device`.

    Columns: tokens_per_second, seconds, joules, watts, bandwidth_share, bits_per_weight, and the resources. A point
    fits when its resources do and its channels are no faster and no more than the device's.
    """

    items: Sequence[Operation]
    device: FpgaDevice
    context: int

    def __call__(self, space: Space) -> Points:
        """Evaluate all points of `space`."""
        configs, forms = space.candidates().configs, tuple(space.forms)
        count = len(configs)
        config = np.tile(np.arange(count), len(forms))
        form = np.repeat(np.arange(len(forms)), count)
        design = Design.stack(configs).tile(len(forms))
        step = estimate_step(self.items, design, WeightForms.of(*forms).repeat(count), tokens=1, position=self.context)
        seconds = step.seconds(design)
        joules = total_energy(step, design, {n: f.base for n, f in self.device.energy.items()})
        used = np.array([[getattr(u, n) for n in RESOURCES] for u in (resources(c).total for c in configs)])
        columns = {
            "tokens_per_second": 1 / seconds,
            "seconds": seconds,
            "joules": joules,
            "watts": joules / seconds,
            "bandwidth_share": step.memory_share(design),
            "bits_per_weight": np.array([f.bits_per_weight for f in forms])[form],
            **{name: used[config, number] for number, name in enumerate(RESOURCES)},
        }
        fits = self._fits(configs, used)[config]
        return Points(configs, forms, config, form, columns, fits)

    def _fits(self, configs: Sequence[AcceleratorConfig], used: Column) -> NDArray[np.bool_]:
        room = np.array([self.device.resources[n].value for n in RESOURCES])
        channels = np.array([c.cores * c.channels_per_core for c in configs])
        rate = np.array([c.channel_bytes * c.clock_hz for c in configs])
        own = self.device.bandwidth.base / self.device.channels.value
        fits: NDArray[np.bool_] = (
            (used <= room).all(axis=1) & (channels <= self.device.channels.value) & (rate <= own * 1.001)
        )
        return fits
