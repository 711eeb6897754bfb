"""Linears with every choice that tuning may make, against float64, at sizes that nothing divides."""

from __future__ import annotations

from functools import cache

import pytest

from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, DEFAULT_MANY_ROWS, alternatives
from cosyn.codegen.tvm.kernels.linear_schedule_cpu import linear_form
from tests.codegen.linear_cases import Case, build, relative_error, run

CHOICES = [(name, value) for name, others in alternatives() for value in others]
STORED = [("i8row:f16", "int8"), ("i4g32:f16", "int8"), ("i4g32:f16", "float"), ("bf16", "float")]
N, K = 75, 96

_LIMIT = 1e-4
"""Activations that are multiplied as two bf16 halves or as 16-bit codes keep some 16 bits."""


@cache
def case(stored: str, activation: str) -> Case:
    return Case(N, K, stored, activation)


@pytest.mark.parametrize(("stored", "activation"), STORED)
@pytest.mark.parametrize(("name", "value"), CHOICES)
def test_results_do_not_depend_on_choices(name: str, value: int, stored: str, activation: str) -> None:
    target = cpu_target(host_features(), threads=2)
    choice = DEFAULT_KERNEL_CHOICE.with_values({name: value})
    found = case(stored, activation)
    seq, counts = (None, (1, 7, 13)) if choice.many_rows != DEFAULT_MANY_ROWS else (1, (1,))
    function = build(found.layout, seq, target, form=linear_form(target), choice=choice)
    for rows in counts:
        inputs, exact = found.inputs(rows)
        (result,) = run(function, inputs, (rows, N))
        assert relative_error(result, exact) < _LIMIT
