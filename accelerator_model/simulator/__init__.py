"""The accelerator in Python: bit-exact results, cycles, and why it waits."""

from __future__ import annotations

from cosyn.accelerator_model.simulator.deadlock import DeadlockError
from cosyn.accelerator_model.simulator.machine import Machine
from cosyn.accelerator_model.simulator.results import Retirement, RunResult, Stall, Traffic

__all__ = ["DeadlockError", "Machine", "Retirement", "RunResult", "Stall", "Traffic"]
