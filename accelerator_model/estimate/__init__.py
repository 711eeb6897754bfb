"""The closed-form estimate: cycles of a step from a model's shape and a configuration, every term named."""

from __future__ import annotations

from cosyn.accelerator_model.estimate.design import Design
from cosyn.accelerator_model.estimate.operations import Operation, operations
from cosyn.accelerator_model.estimate.step import StepEstimate, estimate_step
from cosyn.accelerator_model.estimate.weight_form import WeightForm, WeightForms

__all__ = [
    "Design",
    "Operation",
    "StepEstimate",
    "WeightForm",
    "WeightForms",
    "estimate_step",
    "operations",
]
