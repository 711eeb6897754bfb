"""Energy of a step from stated energies: products, special-function elements, bytes on chip and off, and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import VECTOR_ELEMENT_BYTES
from cosyn.accelerator_model.estimate.design import Design
from cosyn.accelerator_model.estimate.step import StepEstimate

Numbers = NDArray[np.float64]


def step_energy(step: StepEstimate, design: Design, joules: Mapping[str, float]) -> dict[str, Numbers]:
    """Joules of one step by what they go to; `joules` by the names of a device's energies, `static_power` in watts.

    Memory bytes cross the pins once. On chip a streamed byte is written to its ring and read from it, and each
    element of a pass is read three times at most and written once.
    """
    memory_bytes = step.stripes * design.stripe_bytes * design.cores
    vector_bytes = step.special_elements * design.cores * VECTOR_ELEMENT_BYTES * 4
    terms: dict[str, Any] = {
        "products": step.macs * joules["int8_mac"],
        "special functions": step.special_elements * design.cores * joules["special_element"],
        "on-chip memory": (2 * memory_bytes + vector_bytes) * joules["on_chip_byte"],
        "memory": memory_bytes * joules["memory_byte"],
        "static": step.seconds(design) * joules["static_power"],
    }
    return {name: np.asarray(value, float) for name, value in terms.items()}


def total_energy(step: StepEstimate, design: Design, joules: Mapping[str, float]) -> Numbers:
    """Joules of one step."""
    result: Numbers = np.asarray(sum(step_energy(step, design, joules).values()))
    return result
