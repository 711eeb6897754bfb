"""Hardware descriptions: data in YAML, each number with its unit and source; the loader; the roofline."""

from __future__ import annotations

from cosyn.targets.errors import TargetError
from cosyn.targets.loader import load_target, read_target, shipped_targets
from cosyn.targets.quantity import Quantity
from cosyn.targets.roofline import Roofline, target_roofline
from cosyn.targets.target import HOST, Limits, Peaks, Target

__all__ = [
    "HOST",
    "Limits",
    "Peaks",
    "Quantity",
    "Roofline",
    "Target",
    "TargetError",
    "load_target",
    "read_target",
    "shipped_targets",
    "target_roofline",
]
