"""Energy is what the stated energies say of the step's products, bytes and seconds."""

from __future__ import annotations

import pytest

from cosyn.accelerator_model.energy import step_energy, total_energy
from cosyn.accelerator_model.estimate import Design, estimate_step
from cosyn.accelerator_model.presets import load_config
from cosyn.targets.fpga_device import load_fpga_device
from tests.accelerator_model.estimate.shapes import llama


def test_energy_of_a_token() -> None:
    config, design = load_config("u280"), Design.of(load_config("u280"))
    joules = {name: fact.base for name, fact in load_fpga_device("u280").energy.items()}
    step = estimate_step(llama(), design, tokens=1, position=128)
    found = step_energy(step, design, joules)
    moved = float(step.stripes) * config.stripe_bytes * config.cores
    assert found["memory"] == pytest.approx(moved * 31.4e-12)
    assert found["products"] == pytest.approx(float(step.macs) * 0.6e-12)
    assert found["static"] == pytest.approx(float(step.cycles) / 225e6 * 37.3)
    assert total_energy(step, design, joules) == pytest.approx(sum(float(v) for v in found.values()))
    # FlightLLM's board draws about 45 W at half the memory traffic.
    assert 40 < float(total_energy(step, design, joules)) / (float(step.cycles) / 225e6) < 70
