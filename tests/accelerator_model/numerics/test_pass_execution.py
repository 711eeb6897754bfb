"""Passes on arrays: operands, absent operands, masks and rounding after each operation."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.isa.misc import Function, Output, Reduction
from cosyn.accelerator_model.numerics import float32, special
from cosyn.accelerator_model.numerics.element import evaluate
from cosyn.accelerator_model.numerics.pass_execution import apply
from cosyn.accelerator_model.sequences import Immediate, Pass, PerRow, Scalar, Shared

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 8)).astype(np.float32)


@pytest.mark.parametrize("function", list(Function))
@pytest.mark.parametrize("negate", [False, True])
def test_each_operation_rounds_by_itself(function: Function, negate: bool) -> None:
    a, b, c, d = (RNG.standard_normal(500).astype(np.float32) for _ in range(4))
    product = float32.multiply(a, b)
    total = float32.subtract(product, c) if negate else float32.add(product, c)
    middle = {
        Function.IDENTITY: lambda x: x, Function.EXP: special.exp, Function.RECIPROCAL: special.reciprocal,
        Function.RSQRT: special.rsqrt, Function.RELU: special.relu,
    }[function](total)  # fmt: skip
    np.testing.assert_array_equal(evaluate(a, b, c, d, function, negate), float32.multiply(middle, d))


def test_absent_operands_are_one_and_zero() -> None:
    x = np.concatenate([X.ravel(), [np.inf, -0.0, 1e-40]]).astype(np.float32)
    np.testing.assert_array_equal(evaluate(x), evaluate(x, np.float32(1), np.float32(0), np.float32(1)))


def test_operands_of_every_kind() -> None:
    step = Pass(
        role="all", a=PerRow("x"), b=Shared("b"), c=Scalar("c"), d=Immediate(0.1), output=Output.VECTOR,
        destination="y", reduction=Reduction.MAXIMUM, reduce_to="m",
    )  # fmt: skip
    env = {"x": X, "b": X[0], "c": X[:, 0]}
    apply(step, env, 4)
    expected = evaluate(X, X[0][None], X[:, :1], np.float32(0.1))
    np.testing.assert_array_equal(env["y"], expected)
    np.testing.assert_array_equal(env["m"], expected.max(1))
    assert step.reads == ("x", "b", "c")
    assert step.writes == ("y", "m")


def test_scalar_passes_and_codes() -> None:
    env = {"s": np.array([4, 16], np.float32), "x": np.array([[1.4, 300], [-2.5, -300]], np.float32)}
    apply(Pass(role="r", a=Scalar("s"), function=Function.RSQRT, d=Scalar("s"), output=Output.VECTOR,
               destination="r", over_rows=True), env, 4)  # fmt: skip
    np.testing.assert_array_equal(env["r"], [2, 4])
    apply(Pass(role="c", a=PerRow("x"), output=Output.ACTIVATION, destination="codes"), env, 4)
    np.testing.assert_array_equal(env["codes"], [[1, 127], [-2, -127]])


def test_masked_columns_are_zero_and_not_reduced() -> None:
    mask = np.arange(8) < np.array([[3], [8], [0]])
    step = Pass(role="e", a=PerRow("x"), function=Function.EXP, output=Output.VECTOR, destination="y",
                reduction=Reduction.SUM, reduce_to="s", masked=True)  # fmt: skip
    env = {"x": X}
    apply(step, env, 4, mask)
    assert (env["y"][~mask] == 0).all()
    assert (env["y"][mask] > 0).all()
    np.testing.assert_allclose(env["s"], env["y"].sum(1), rtol=1e-6)
    with pytest.raises(ValueError, match="pass 'e' is masked: give the mask"):
        apply(step, {"x": X}, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a": Scalar("s")}, "needs a vector as a"),
        ({"a": PerRow("x"), "over_rows": True}, "works on scalars"),
        ({"a": PerRow("x"), "reduction": Reduction.SUM}, "reduction SUM but reduce_to None"),
        ({"a": PerRow("x"), "output": Output.VECTOR}, "output VECTOR but destination None"),
        ({"a": PerRow("x"), "b": Immediate(1), "c": Immediate(2), "d": Immediate(3)}, "more than two immediates"),
    ],
)
def test_passes_that_no_instruction_has(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pass(role="bad", **fields)  # type: ignore[arg-type]
