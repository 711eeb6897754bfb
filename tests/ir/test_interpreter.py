"""The interpreter: inputs, constants, states, widths, memory."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from cosyn.ir.interpreter import ConstantEvaluator, Interpreter, evaluate_constants, run_graph
from cosyn.ir.node import Node
from cosyn.ir.parser import parse

GRAPH = parse("""\
graph "g"
dim seq in 1..8
input %x : f32[seq, 4]
weight @a : bf16[3, 4] from "a"
weight @b : f32[2, 4] from "b"
constant @a32 = cast(@a) {to=f32} : f32[3, 4]
constant @ab = concat(@a32, @b) {axis=0} : f32[5, 4]
constant @half = cast(@ab) {to=f16} : f16[5, 4]
%e = expand(%x) {shape=[2, seq, 4]} : f32[2, seq, 4]
%h = linear(%x, @ab) : f32[seq, 5]
%y = silu(%h) : f32[seq, 5]
return %y, %e
""")
WEIGHTS = {
    "a": np.arange(12).reshape(3, 4).astype(ml_dtypes.bfloat16),
    "b": np.full((2, 4), 0.1, np.float32),
}
X = np.linspace(-1, 1, 12).reshape(3, 4)


def test_computes_in_the_width_asked_for() -> None:
    ab = np.concatenate([WEIGHTS["a"].astype(np.float64), WEIGHTS["b"].astype(np.float64)])
    h = X @ ab.T
    expected = h / (1 + np.exp(-h))
    for dtype, error in ((np.float64, 1e-14), (np.float32, 1e-5)):
        y, e = run_graph(GRAPH, {"x": X}, WEIGHTS.__getitem__, dtype=dtype)
        assert y.dtype == e.dtype == dtype
        np.testing.assert_allclose(y, expected, rtol=error, atol=error)
        np.testing.assert_allclose(e, np.broadcast_to(X, (2, 3, 4)), rtol=error)


def test_constants_keep_the_type_that_they_are_stored_in() -> None:
    evaluator = ConstantEvaluator(GRAPH, WEIGHTS.__getitem__)
    assert evaluator.get("@a").dtype == ml_dtypes.bfloat16
    assert evaluator.get("@ab").dtype == np.float32
    assert evaluator.get("@half").dtype == np.float16
    assert set(evaluate_constants(GRAPH, WEIGHTS.__getitem__)) == {"@a32", "@ab", "@half"}
    with pytest.raises(KeyError, match="expected a weight or constant of the graph, found @zzz"):
        evaluator.get("@zzz")


def test_reads_each_weight_only_when_a_node_needs_it() -> None:
    read: list[str] = []

    def weights(key: str) -> np.ndarray:
        read.append(key)
        return WEIGHTS[key]

    interpreter = Interpreter(GRAPH, weights)
    assert read == []
    interpreter.run({"x": X})
    interpreter.run({"x": X[:1]})
    assert read == ["a", "b"]


def test_observe_sees_every_node_in_order() -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []

    def observe(node: Node, results: tuple[np.ndarray, ...]) -> None:
        seen.append((node.name, results[0].shape))

    run_graph(GRAPH, {"x": X}, WEIGHTS.__getitem__, observe=observe)
    assert seen == [("e", (2, 3, 4)), ("h", (3, 5)), ("y", (3, 5))]


def test_quantized_weights_need_to_be_decoded() -> None:
    graph = parse(str(GRAPH).replace("@ab = concat(@a32, @b) {axis=0} : f32[5, 4]",
                                     "@ab = concat(@a32, @b) {axis=0} : f32[5, 4] as i4g4:f16"))  # fmt: skip
    with pytest.raises(ValueError, match="@ab is stored as i4g4:f16: give `stored`"):
        run_graph(graph, {"x": X}, WEIGHTS.__getitem__)
    y, _ = run_graph(graph, {"x": X}, WEIGHTS.__getitem__, stored=lambda ref, type_, array: array * 0)
    assert not y.any()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"expected the inputs \['x'\], found \[\]"),
        ({"x": X, "y": X}, r"found \['x', 'y'\]"),
        ({"x": X[0]}, r"expected %x : f32\[seq, 4\], found shape \[4\]"),
        ({"x": X[:, :3]}, r"expected %x : f32\[seq, 4\], found shape \[3, 3\]"),
    ],
)
def test_wrong_inputs_are_refused(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_graph(GRAPH, inputs, WEIGHTS.__getitem__)


def test_inputs_must_agree_on_symbols() -> None:
    graph = parse('graph "g"\ndim seq in 1..8\ninput %a : f32[seq]\ninput %b : f32[seq]\n'
                  "%y = add(%a, %b) : f32[seq]\nreturn %y\n")  # fmt: skip
    with pytest.raises(ValueError, match=r"expected %b : f32\[seq\], found shape \[1\] with {'seq': 3}"):
        run_graph(graph, {"a": np.ones(3), "b": np.ones(1)}, WEIGHTS.__getitem__)


def test_states_carry_over_from_step_to_step() -> None:
    graph = parse("""\
graph "g"
dim seq in 1..8
input %x : f32[seq, 1, 4]
input %p : i32[seq]
input %s : i32[seq]
state $kv {n_kv_heads=1, head_dim=4, dtype=f32}
%w = kv_append($kv, %x, %x, %p, %s) : state
%y = attend(%x, %w, %p, %s) {scale=0.5, n_kv_heads=1, v_dim=4} : f32[seq, 1, 4]
return %y
""")
    x = np.random.default_rng(0).normal(size=(5, 1, 4))
    interpreter = Interpreter(graph, WEIGHTS.__getitem__, dtype=np.float64)
    (whole,) = interpreter.run({"x": x, "p": np.arange(5), "s": np.zeros(5)})
    states = interpreter.new_states()
    steps = [interpreter.run({"x": x[t : t + 1], "p": [t], "s": [0]}, states=states)[0] for t in range(5)]
    np.testing.assert_allclose(np.concatenate(steps), whole, rtol=1e-13)
