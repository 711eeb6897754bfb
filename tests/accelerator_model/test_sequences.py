"""Sequences of passes against the float64 meaning of what they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import erf

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.isa.misc import Output, Reduction
from cosyn.accelerator_model.numerics.pass_execution import run
from cosyn.accelerator_model.numerics.rotary import rotary_rows
from cosyn.accelerator_model.sequences import Pass, Passes, PerRow, join, renamed, then_quantize

RNG = np.random.default_rng(0)
ROWS, COLUMNS = 6, 172
X = (RNG.standard_normal((ROWS, COLUMNS)) * 3).astype(np.float32)
X[0, 7] = 400  # the outliers that residual streams have
WEIGHT, BIAS = RNG.standard_normal((2, COLUMNS)).astype(np.float32)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("weighted", [True, False])
def test_rms_norm(lanes: int, weighted: bool) -> None:
    y = run(sequences.rms_norm(COLUMNS, 1e-5, weighted=weighted), {"x": X, "weight": WEIGHT}, lanes)["y"]
    expected = torch.nn.functional.rms_norm(torch.tensor(X).double(), (COLUMNS,), eps=1e-5).numpy()
    assert relative(y, expected * (WEIGHT if weighted else 1)) < 2e-6


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize(("weighted", "biased"), [(True, True), (True, False), (False, False)])
def test_layer_norm(lanes: int, weighted: bool, biased: bool) -> None:
    steps = sequences.layer_norm(COLUMNS, 1e-5, weighted=weighted, biased=biased)
    y = run(steps, {"x": X, "weight": WEIGHT, "bias": BIAS}, lanes)["y"]
    w, b = (torch.tensor(v).double() for v in (WEIGHT, BIAS))
    expected = torch.nn.functional.layer_norm(
        torch.tensor(X).double(), (COLUMNS,), w if weighted else None, b if biased else None, 1e-5
    )
    assert relative(y, expected.numpy()) < 2e-6


def test_quantized_rows() -> None:
    x = X.copy()
    x[3] = 0
    env = run(sequences.quantize_rows(), {"x": x}, 4)
    top = np.abs(x).max(1)
    np.testing.assert_allclose(env["scale"], top / 127, rtol=1e-6)
    assert (np.abs(env["codes"] * env["scale"][:, None] - x) <= 0.501 * env["scale"][:, None]).all()
    assert (np.abs(env["codes"]).max(1) == np.where(top > 0, 127, 0)).all()
    assert (env["scale"][3], env["codes"][3].any()) == (0, False)


WIDE = np.linspace(-30, 30, 60_001).astype(np.float32)[None]
FUNCTIONS: dict[str, tuple[Callable[[], Passes], Callable[[np.ndarray], np.ndarray], float]] = {
    "silu": (sequences.silu, lambda x: x / (1 + np.exp(-x)), 1e-5),
    "sigmoid": (sequences.sigmoid, lambda x: 1 / (1 + np.exp(-x)), 1e-6),
    "tanh": (sequences.tanh, np.tanh, 2e-6),
    "softcap": (lambda: sequences.softcap(5.0), lambda x: 5 * np.tanh(x / 5), 1e-5),
    "gelu": (sequences.gelu, lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))), sequences.GELU_MAX_ERROR),
    "gelu_tanh": (
        sequences.gelu_tanh,
        lambda x: x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        2e-6,
    ),
    "relu": (sequences.relu, lambda x: np.maximum(x, 0), 0),
    "negate": (sequences.negate, lambda x: -x, 0),
    "scale": (lambda: sequences.scale(0.3), lambda x: x * 0.3, 2e-6),
    "offset": (lambda: sequences.offset(-2.5), lambda x: x - 2.5, 2e-6),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_operand(name: str) -> None:
    steps, meaning, bound = FUNCTIONS[name]
    found = run(steps(), {"x": WIDE}, 4)["y"]
    expected = meaning(WIDE.astype(np.float64))
    assert np.abs(found - expected).max() <= bound


def test_the_stated_error_of_gelu_is_not_idle() -> None:
    found = run(sequences.gelu(), {"x": WIDE}, 4)["y"]
    error = np.abs(found - FUNCTIONS["gelu"][1](WIDE.astype(np.float64))).max()
    assert sequences.GELU_MAX_ERROR * 0.9 < error <= sequences.GELU_MAX_ERROR


@pytest.mark.parametrize("op", sequences.BINARY)
def test_functions_of_two_operands(op: str) -> None:
    other = np.where(np.abs(X) < 0.01, np.float32(1), X)[::-1].copy()
    meaning = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
    found = run(sequences.BINARY[op](), {"x": X, "other": other}, 4)["y"]
    np.testing.assert_allclose(found, meaning(X.astype(np.float64), other), rtol=2e-6, atol=1e-5)
    found = run(sequences.with_number(op, 0.7), {"x": X}, 4)["y"]
    np.testing.assert_allclose(found, meaning(X.astype(np.float64), 0.7), rtol=2e-6, atol=1e-5)


def test_numbers_know_their_ops() -> None:
    with pytest.raises(ValueError, match="expected one of add, sub, mul, div, found 'pow'"):
        sequences.with_number("pow", 2)


def test_rotary_turns_pairs() -> None:
    cosine, sine = rotary_rows(10000.0 ** -(np.arange(8) / 8), np.arange(5))
    low, high = RNG.standard_normal((2, 5, 3, 8)).astype(np.float32)
    env = run(sequences.rotary(), {"low": low, "high": high, "cosine": cosine, "sine": sine}, 4)
    turned = (low + 1j * high) * (cosine + 1j * sine)[:, None]
    np.testing.assert_allclose(env["out_low"], turned.real, atol=1e-6)
    np.testing.assert_allclose(env["out_high"], turned.imag, atol=1e-6)


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("alibi", [False, True])
def test_softmax(softcap: float | None, alibi: bool) -> None:
    queries, keys = 5, 40
    scores = (RNG.standard_normal((queries, keys)) * 20).astype(np.float32)
    value_scale = RNG.uniform(0.1, 1, keys).astype(np.float32)
    position = np.arange(20, 20 + queries)
    mask = np.arange(keys) <= position[:, None]
    env = run(
        sequences.softmax_codes(0.3, softcap=softcap, alibi=alibi),
        {
            "scores": scores, "value_scale": value_scale, "column": np.arange(keys, dtype=np.float32),
            "position": position.astype(np.float32), "slope": np.full(queries, 0.25, np.float32),
        },
        4, mask,
    )  # fmt: skip
    z = scores.astype(np.float64) * 0.3
    if softcap is not None:
        z = softcap * np.tanh(z / softcap)
    if alibi:
        z += 0.25 * (np.arange(keys) - position[:, None])
    p = np.exp(np.where(mask, z, -np.inf))
    p /= p.sum(1, keepdims=True)
    step = env["token_scale"][:, None]
    assert (np.abs(env["codes"] * step - p * value_scale) <= 0.51 * step).all()
    assert not env["codes"][~mask].any()
    # Before quantization the rows are probabilities: they sum to 1.
    total = (env["s"] / value_scale * env["normaliser"][:, None]).sum(1, dtype=np.float64)
    np.testing.assert_allclose(total, 1, rtol=5e-6)


def test_a_row_that_sees_nothing_gives_zero() -> None:
    ones = np.ones((1, 8), np.float32)
    env = run(sequences.softmax_codes(1.0), {"scores": ones, "value_scale": ones[0]}, 4, np.zeros((1, 8), bool))
    assert not env["codes"].any()
    assert env["token_scale"] == 0


@pytest.mark.parametrize(
    "steps",
    [
        sequences.rms_norm(COLUMNS, 1e-5),
        sequences.layer_norm(COLUMNS, 1e-5),
        sequences.silu(),
        join(sequences.silu(), renamed(sequences.multiply(), {"x": "y"})),
        sequences.add(),
    ],
)
def test_joining_saves_a_pass_and_no_bit(steps: Passes) -> None:
    env = {"x": X, "weight": WEIGHT, "bias": BIAS, "other": X[::-1].copy()}
    apart = run(steps, dict(env), 4)
    apart = run(sequences.quantize_rows(), {"x": apart["y"]}, 4)
    joined = then_quantize(steps)
    assert len(joined) == len(steps) + len(sequences.quantize_rows()) - 1
    together = run(joined, dict(env), 4)
    for name in ("codes", "scale"):
        np.testing.assert_array_equal(together[name], apart[name])


def test_a_residual_can_carry_the_sum_of_squares_of_the_next_norm() -> None:
    norm = renamed(sequences.rms_norm(COLUMNS, 1e-5), {"x": "y", "y": "z"})
    joined = join(sequences.add(), norm)
    assert len(joined) == 3
    assert joined[0].reduction is Reduction.SUM_SQUARES


def test_what_may_not_be_joined_is_not() -> None:
    reduce_other = Pass(role="r", a=PerRow("w"), reduction=Reduction.SUM, reduce_to="s")
    assert len(join(sequences.add(), (reduce_other,))) == 2
    with_reduction = join(sequences.add(), sequences.quantize_rows())
    assert len(with_reduction) == 5  # quantize_rows reads x, which add does not write
    with pytest.raises(ValueError, match="expected passes that end in vectors"):
        then_quantize(sequences.quantize_rows())


def test_an_element_is_read_before_it_is_written() -> None:
    """What the module promises: a result may take an operand's place when nothing reads the operand later."""
    for name, (steps, _, _) in FUNCTIONS.items():
        passes = steps()
        reads_x = [i for i, p in enumerate(passes) if "x" in p.reads]
        writes_y = [i for i, p in enumerate(passes) if p.destination == "y"]
        assert max(reads_x) <= min(writes_y), name
        assert all(p.output is Output.VECTOR for p in passes)
