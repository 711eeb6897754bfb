"""Exploration of configurations with the closed-form estimate: a space, its evaluation, and the front."""

from __future__ import annotations

from cosyn.accelerator_model.sweep.evaluate import Evaluation, Points
from cosyn.accelerator_model.sweep.front import pareto_front
from cosyn.accelerator_model.sweep.space import Candidates, Space

__all__ = ["Candidates", "Evaluation", "Points", "Space", "pareto_front"]
