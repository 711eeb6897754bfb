"""What each operation of a model means in passes of the special-function unit: the only place that says so.

The graph reference executes these passes on arrays; the compiler binds their names to buffers and emits one MISC
instruction for each. Operands and results are named by their role; a function's docstring lists them. Shapes: a
`PerRow` name is a vector for each row, f32 [rows, columns]; a `Shared` name is one vector for all rows, f32
[columns]; a `Scalar` name is one number for each row, f32 [rows]. A pass `over_rows` works on scalars: as an
instruction it has one row, whose columns are the rows of the others.

A pass reads an element before it writes it, so a result may take the place of an operand that nothing reads later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from cosyn.accelerator_model.isa.misc import Function, Output, Reduction
from cosyn.accelerator_model.pass_record import (
    Immediate,
    Pass,
    Passes,
    PerRow,
    Scalar,
    Shared,
    Source,
    join,
    renamed,
    scalar_pass,
    vector_pass,
)

__all__ = [
    "BINARY", "GELU_MAX_ERROR", "HIDDEN", "UNARY", "Immediate", "Pass", "Passes", "PerRow", "Scalar", "Shared",
    "Source", "add", "bias", "divide", "exponential", "gelu", "gelu_tanh", "inverse_root", "join", "layer_norm",
    "multiply", "negate", "offset", "quantize_rows", "reciprocal", "relu", "renamed", "rms_norm", "rotary", "scale",
    "sigmoid", "silu", "softcap", "softmax_codes", "subtract", "tanh", "then_quantize", "weigh", "with_number",
]  # fmt: skip

# -- rows --------------------------------------------------------------------------------------------------------


def quantize_rows() -> Passes:
    """INT8 `codes` of the rows `x`, each over its own range, and their scalars `scale` = max|x| / 127."""
    return (
        Pass(
            role="absolute maximum", a=PerRow("x"), reduction=Reduction.ABSOLUTE_MAXIMUM, reduce_to="amax",
        ),
        scalar_pass("codes per unit", "inverse", Scalar("amax"), function=Function.RECIPROCAL, d=Immediate(127.0)),
        scalar_pass("scale", "scale", Scalar("amax"), b=Immediate(1 / 127)),
        _codes("x"),
    )  # fmt: skip


def _codes(name: str, *, masked: bool = False) -> Pass:
    return Pass(
        role="codes", a=PerRow(name), b=Scalar("inverse"), output=Output.ACTIVATION, destination="codes",
        masked=masked,
    )  # fmt: skip


def rms_norm(columns: int, eps: float, *, weighted: bool = True) -> Passes:
    """`y` = `x` / √(mean(x²) + eps) · `weight` for rows of `columns`."""
    return (
        Pass(role="sum of squares", a=PerRow("x"), reduction=Reduction.SUM_SQUARES, reduce_to="sum"),
        _inverse_root(columns, eps),
        vector_pass("normalise", "y", PerRow("x"), b=Scalar("inverse_root"), d=Shared("weight") if weighted else None),
    )


def layer_norm(columns: int, eps: float, *, weighted: bool = True, biased: bool = True) -> Passes:
    """`y` = (x - mean) / √(variance + eps) · `weight` + `bias` for rows `x` of `columns`."""
    passes = (
        Pass(role="sum", a=PerRow("x"), reduction=Reduction.SUM, reduce_to="sum"),
        scalar_pass("mean", "mean", Scalar("sum"), b=Immediate(1 / columns)),
        vector_pass(
            "centre",
            "y",
            PerRow("x"),
            c=Scalar("mean"),
            c_negate=True,
            reduction=Reduction.SUM_SQUARES,
            reduce_to="sum",
        ),
        _inverse_root(columns, eps),
        vector_pass("normalise", "y", PerRow("y"), b=Scalar("inverse_root"), d=Shared("weight") if weighted else None),
    )
    return (*passes, vector_pass("bias", "y", PerRow("y"), c=Shared("bias"))) if biased else passes


def _inverse_root(columns: int, eps: float) -> Pass:
    return scalar_pass(
        "inverse root",
        "inverse_root",
        Scalar("sum"),
        b=Immediate(1 / columns),
        c=Immediate(eps),
        function=Function.RSQRT,
    )


def then_quantize(passes: Passes) -> Passes:
    """`passes`, whose last one writes vectors, and the quantization of these: scalars `scale` and INT8 `codes`."""
    result = passes[-1].destination
    if result is None or passes[-1].output is not Output.VECTOR or passes[-1].over_rows:
        raise ValueError(f"expected passes that end in vectors, found {passes[-1]}")
    return join(passes, renamed(quantize_rows(), {"x": result}))


# -- elements ----------------------------------------------------------------------------------------------------


def add() -> Passes:
    """`y` = `x` + `other`, both a vector for each row: a residual."""
    return (vector_pass("add", "y", PerRow("x"), c=PerRow("other")),)


def bias() -> Passes:
    """`y` = `x` + `bias`, one vector for all rows."""
    return (vector_pass("bias", "y", PerRow("x"), c=Shared("bias")),)


def subtract() -> Passes:
    """`y` = `x` - `other`, both a vector for each row."""
    return (vector_pass("subtract", "y", PerRow("x"), c=PerRow("other"), c_negate=True),)


def divide() -> Passes:
    """`y` = `x` · (1 / `other`), both a vector for each row."""
    return (vector_pass("divide", "y", PerRow("other"), function=Function.RECIPROCAL, d=PerRow("x")),)


def multiply() -> Passes:
    """`y` = `x` · `other`, both a vector for each row."""
    return (vector_pass("multiply", "y", PerRow("x"), b=PerRow("other")),)


def weigh() -> Passes:
    """`y` = `x` · `weight`, one vector for all rows."""
    return (vector_pass("weigh", "y", PerRow("x"), b=Shared("weight")),)


def scale(factor: float) -> Passes:
    """`y` = `x` · factor."""
    return (vector_pass("scale", "y", PerRow("x"), b=Immediate(factor)),)


def offset(term: float) -> Passes:
    """`y` = `x` + term."""
    return (vector_pass("offset", "y", PerRow("x"), c=Immediate(term)),)


def relu() -> Passes:
    """`y` = max(`x`, 0)."""
    return (vector_pass("relu", "y", PerRow("x"), function=Function.RELU),)


def exponential() -> Passes:
    """`y` = e^`x`."""
    return (vector_pass("exponential", "y", PerRow("x"), function=Function.EXP),)


def reciprocal() -> Passes:
    """`y` = 1 / `x`."""
    return (vector_pass("reciprocal", "y", PerRow("x"), function=Function.RECIPROCAL),)


def inverse_root() -> Passes:
    """`y` = 1 / √`x`."""
    return (vector_pass("inverse root", "y", PerRow("x"), function=Function.RSQRT),)


def negate() -> Passes:
    """`y` = -`x`."""
    return scale(-1.0)


def sigmoid() -> Passes:
    """`y` = 1 / (1 + e^-`x`)."""
    return (_decay("x", -1.0), vector_pass("sigmoid", "y", PerRow("t"), c=Immediate(1.0), function=Function.RECIPROCAL))


def silu() -> Passes:
    """`y` = `x` / (1 + e^-`x`); `t` is scratch of the same shape."""
    return (_decay("x", -1.0), _logistic())


def tanh() -> Passes:
    """`y` = tanh `x` = 2 / (1 + e^-2x) - 1; absolute error below 2^-19. `t` is scratch."""
    return _bounded(1.0)


def softcap(cap: float) -> Passes:
    """`y` = cap · tanh(`x` / cap). `t` is scratch."""
    return _bounded(cap)


def _bounded(cap: float) -> Passes:
    return (
        _decay("x", -2.0 / cap),
        vector_pass(
            "logistic", "t", PerRow("t"), c=Immediate(1.0), function=Function.RECIPROCAL, d=Immediate(2.0 * cap)
        ),
        vector_pass("centre", "y", PerRow("t"), c=Immediate(-cap)),
    )  # fmt: skip


def gelu_tanh() -> Passes:
    """`y` = x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))) = x / (1 + e^-2√(2/π)(x + 0.044715 x³)). `t` is scratch."""
    root = 2 * math.sqrt(2 / math.pi)
    return _gelu(root, 0.044715 * root)


GELU_MAX_ERROR = 2.8e-4
"""Largest |gelu() - x Φ(x)| over all x (measured; the tanh form's is 4.7e-4)."""


def gelu() -> Passes:
    """`y` = x · Φ(x) with Φ(x) ≈ 1 / (1 + e^-(c₁x + c₃x³)); error below GELU_MAX_ERROR. `t` is scratch."""
    # Minimise the largest error of y. A fifth power would gain a digit, but turns the wrong way beyond |x| = 11.
    return _gelu(1.6003106, 0.0694034)


def _gelu(linear: float, cubic: float) -> Passes:
    return (
        vector_pass("square", "t", PerRow("x"), b=PerRow("x")),
        vector_pass("cubic", "t", PerRow("t"), b=Immediate(-cubic), c=Immediate(-linear), d=PerRow("x")),
        vector_pass("exponential", "t", PerRow("t"), function=Function.EXP),
        _logistic(),
    )


def _decay(name: str, factor: float) -> Pass:
    return vector_pass("exponential", "t", PerRow(name), b=Immediate(factor), function=Function.EXP)


def _logistic() -> Pass:
    """`y` = `x` / (`t` + 1)."""
    return vector_pass("gate", "y", PerRow("t"), c=Immediate(1.0), function=Function.RECIPROCAL, d=PerRow("x"))


UNARY: Mapping[str, Callable[[], Passes]] = {
    "exp": exponential, "reciprocal": reciprocal, "rsqrt": inverse_root, "relu": relu, "sigmoid": sigmoid, "silu": silu,
    "tanh": tanh, "gelu": gelu, "gelu_tanh": gelu_tanh, "neg": negate,
}  # fmt: skip
"""The graph's elementwise ops of one operand, `x` -> `y`."""

BINARY: Mapping[str, Callable[[], Passes]] = {"add": add, "sub": subtract, "mul": multiply, "div": divide}
"""The graph's elementwise ops of two operands, `x` and `other` -> `y`."""


def with_number(op: str, number: float) -> Passes:
    """`y` of the graph's `op` (a key of BINARY) between `x` and a number that is the same for all: an immediate.

    Division multiplies by 1 / number, rounded to f32.
    """
    match op:
        case "add":
            return offset(number)
        case "sub":
            return offset(-number)
        case "mul":
            return scale(number)
        case "div":
            return scale(1 / number)
    raise ValueError(f"expected one of {', '.join(BINARY)}, found {op!r}")


# -- attention ---------------------------------------------------------------------------------------------------


def rotary() -> Passes:
    """Turn the pairs (`low`, `high`) by `cosine` and `sine` (rows: the heads of one token), into `out_low`, `out_high`.

    Rows hold one element of each pair, columns are the pairs of a head. `t` is scratch. The results may not take
    the place of `low` or `high`, which are read twice, except `out_high` that of `high`.
    """
    cosine, sine = Shared("cosine"), Shared("sine")
    return (
        vector_pass("high sine", "t", PerRow("high"), b=sine),
        vector_pass("turn low", "out_low", PerRow("low"), b=cosine, c=PerRow("t"), c_negate=True),
        vector_pass("low sine", "t", PerRow("low"), b=sine),
        vector_pass("turn high", "out_high", PerRow("high"), b=cosine, c=PerRow("t")),
    )


HIDDEN = -(2.0**100)
"""Penalty of a position that a mask hides: far below every score, far above the least number."""


def softmax_codes(
    scale: float, *, softcap: float | None = None, alibi: bool = False, penalties: bool = False
) -> Passes:
    """INT8 `codes` and scalars `token_scale` such that codes · value codes · token_scale is attention's output.

    Rows: queries (heads that share a key and value head, tokens); columns: cached positions; masked by what a query
    may see. `scores`: q · k, with the scales of q and k applied. `value_scale`: the scale of each cached value, which
    goes into the probabilities before they are quantized. `alibi` adds `slope` · (`column` - `position`), with
    `column` = 0, 1, 2, ... and scalars `position` and `slope` of each row; `t` is scratch.

    `penalties` adds `penalty` to the scores: 0 where a row sees a column, HIDDEN where not. e^(HIDDEN - top) is exactly
    0, and x + 0 is x: columns that are hidden so have the bits of columns that are not there. A row that sees nothing
    has the maximum HIDDEN, by which it gets the normaliser 0, hence outputs of 0.
    """
    limited: Passes = ()
    scores = PerRow("scores")
    if softcap is not None:
        capped = renamed(_bounded(softcap), {"x": "s", "y": "s"})
        limited = (vector_pass("scale", "s", scores, b=Immediate(scale)), *capped)
    if alibi:
        distance = vector_pass(
            "distance", "t", Shared("column"), c=Scalar("position"), c_negate=True, d=Scalar("slope")
        )  # fmt: skip
        source, factor = (PerRow("s"), None) if limited else (scores, Immediate(scale))
        limited = (*limited, distance, vector_pass("bias", "s", source, b=factor, c=PerRow("t")))
    if penalties:
        source, factor = (PerRow("s"), None) if limited else (scores, Immediate(scale))
        limited = (*limited, vector_pass("mask", "s", source, b=factor, c=PerRow("penalty")))
    if not limited:
        limited = (vector_pass("scale", "s", scores, b=Immediate(scale)),)
    top = replace(limited[-1], reduction=Reduction.MAXIMUM, reduce_to="top", masked=True)
    return (
        *limited[:-1],
        top,
        vector_pass(
            "exponential", "s", PerRow("s"), c=Scalar("top"), c_negate=True, function=Function.EXP,
            reduction=Reduction.SUM, reduce_to="total", masked=True,
        ),
        vector_pass(
            "value scales", "s", PerRow("s"), b=Shared("value_scale"),
            reduction=Reduction.ABSOLUTE_MAXIMUM, reduce_to="amax", masked=True,
        ),
        *_normaliser(penalties),
        scalar_pass("codes per unit", "inverse", Scalar("amax"), function=Function.RECIPROCAL, d=Immediate(127.0)),
        scalar_pass("token scale", "token_scale", Scalar("amax"), b=Immediate(1 / 127), d=Scalar("normaliser")),
        _codes("s", masked=True),
    )  # fmt: skip


def _normaliser(penalties: bool) -> Passes:
    """1 / `total`; with penalties 0 where `top` is one."""
    if not penalties:
        return (scalar_pass("normaliser", "normaliser", Scalar("total"), function=Function.RECIPROCAL),)
    return (
        # 1 for |top| < 2^74, since the sum is rounded; -1, made 0, for HIDDEN.
        scalar_pass(
            "sees anything", "some", Scalar("top"), b=Immediate(-2.0 / HIDDEN), c=Immediate(1.0),
            function=Function.RELU,
        ),
        scalar_pass("normaliser", "normaliser", Scalar("total"), function=Function.RECIPROCAL, d=Scalar("some")),
    )  # fmt: skip
