"""Functions of a CPU kernel in forms that vectorize.

LLVM has no vectors of exp, erf, sine and cosine, and calls libm for each element: here they are polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm_ffi
from tvm import ir, s_tir, tirx

from cosyn.codegen.tvm.compute.rope import TABLES
from cosyn.codegen.tvm.kernels.attend_args import Expr, f32
from cosyn.codegen.tvm.kernels.attend_math import COEFFICIENTS, LN2_HIGH, LN2_LOW

# π/2 in three pieces: n · the first is exact for |n| < 2^16 (Cephes, sinf.c, doubled).
_HALF_PI = (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8)
# (sin r - r) / r³ and (cos r - 1 + r²/2) / r⁴ in r², highest power first, on |r| ≤ π/4 (Cephes, sinf.c).
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
# erf t / t in t² for t < _ERF_SPLIT, and ln(1 - erf t) in t from there to _ERF_END, highest power first: fitted to
# float64 at Chebyshev nodes, the second weighted with 1 - erf t.
_ERF_NEAR = (
    -0.000610698946, 0.0050153574, -0.0267813392, 0.112822123, -0.376125306, 1.12837911,
)  # fmt: skip
_ERF_FAR = (
    -4.89707418e-07, -1.46400644e-05, 0.000397955271, -0.00405530445, 0.0248942468,
    -0.108004779, -0.633553624, -1.12942779, 0.00015885703,
)  # fmt: skip
_ERF_SPLIT, _ERF_END = 0.9, 4.0
"""Beyond the second erf is 1 in f32."""
_LARGEST, _SMALLEST = 89.0, -104.0
"""Beyond these e^x is infinity, and 0, in f32."""


def with_vector_math(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """`function` with f32 exp and erf, and the sines and cosines of rotary tables, as polynomials that vectorize.

    exp is off by at most 2 units in the last place, from subnormal results to infinity, and erf by 3; NaN stays NaN.
    Sines and cosines are off by 1e-7 for angles below 10^5, which positions times frequencies keep; elsewhere both stay
    libm's, which reduces any angle.
    """
    forms: Mapping[str, Callable[[Expr], Expr]] = {"tirx.exp": _exp, "tirx.erf": _erf, "tirx.nearbyint": _nearbyint}
    swapped: tirx.PrimFunc = tvm_ffi.structural_map(
        function, [(s_tir.SBlock, _with_table), (ir.Call, lambda call: _swapped(call, forms))]
    )
    return swapped


def _with_table(block: Any) -> Any:
    if not str(block.name_hint).startswith(TABLES):
        return block
    turns = {"tirx.sin": lambda x: _turned(x, 0), "tirx.cos": lambda x: _turned(x, 1)}
    return tvm_ffi.structural_map(block, [(ir.Call, lambda call: _swapped(call, turns))])


def _swapped(call: Any, known: Mapping[str, Callable[[Expr], Expr]]) -> Any:
    name = str(getattr(call.op, "name", ""))
    if name not in known or str(call.args[0].ty.dtype) != "float32":
        return call
    return known[name](call.args[0])


class _Bindings:
    """Values that an expression reads more than once, bound to names: written out, they would be computed again."""

    def __init__(self) -> None:
        self._bound: list[tuple[tirx.Var, Expr]] = []

    def __call__(self, value: Expr, dtype: str = "float32") -> Expr:
        name = tirx.Var(f"part_{len(self._bound)}", dtype)
        self._bound.append((name, value))
        return name

    def around(self, result: Expr) -> Expr:
        """`result`, which may read the names."""
        for name, value in reversed(self._bound):
            result = tirx.Let(name, value, result)
        return result


def _polynomial(x: Expr, coefficients: Sequence[float]) -> Expr:
    value: Expr = f32(coefficients[0])
    for c in coefficients[1:]:
        value = value * x + f32(c)
    return value


def _power_of_two(exponent: Expr) -> Expr:
    bits = (exponent + tirx.const(127, "int32")) << tirx.const(23, "int32")
    return tirx.reinterpret("float32", bits)


def _nearbyint(x: Expr) -> Expr:
    """The same, as LLVM's intrinsic: TVM takes its own to have no vector form."""
    return tirx.call_llvm_pure_intrin("float32", "llvm.nearbyint", x)


def _halvings(x: Expr) -> Expr:
    """The n of e^x = 2^n · e^r, |r| ≤ ln 2 / 2."""
    return tirx.floor(x * f32(1 / math.log(2)) + f32(0.5))


def _remainder(x: Expr, n: Expr) -> Expr:
    return x - n * f32(LN2_HIGH) - n * f32(LN2_LOW)


def _exp_of_remainder(r: Expr) -> Expr:
    return _polynomial(r, COEFFICIENTS) * (r * r) + r + f32(1)


def _exp(x: Expr) -> Expr:
    """e^x by two factors 2^n, since one alone leaves the range of f32 before e^x does."""
    bind = _Bindings()
    x = bind(x)
    # A comparison with NaN is false, which keeps it.
    low = bind(tirx.Select(x < f32(_SMALLEST), f32(_SMALLEST), x))
    bounded = bind(tirx.Select(low > f32(_LARGEST), f32(_LARGEST), low))
    n = bind(_halvings(bounded))
    r = bind(_remainder(bounded, n))
    value = bind(_exp_of_remainder(r))
    whole = bind(n.astype("int32"), "int32")
    half = bind(whole >> tirx.const(1, "int32"), "int32")
    return bind.around(value * _power_of_two(half) * _power_of_two(whole - half))


def _erf(x: Expr) -> Expr:
    """t · P(t²) for small t = |x|, else 1 - e^Q(t), with the sign of x.

    Few names, since TVM's passes take twice as long with each; Q is between -16 and 0, so that one factor 2^n will do.
    """
    bind = _Bindings()
    x = bind(x)
    size = tirx.Select(x < f32(0), f32(0) - x, x)
    # A comparison with NaN is false, which keeps it.
    t = bind(tirx.Select(size > f32(_ERF_END), f32(_ERF_END), size))
    power = bind(_polynomial(t, _ERF_FAR))
    n = bind(_halvings(power))
    r = bind(_remainder(power, n))
    far = f32(1) - _exp_of_remainder(r) * _power_of_two(n.astype("int32"))
    near = t * _polynomial(t * t, _ERF_NEAR)
    sign = tirx.Select(x < f32(0), f32(-1), f32(1))
    return bind.around(tirx.Select(t < f32(_ERF_SPLIT), near, far) * sign)


def _turned(x: Expr, quarters: int) -> Expr:
    """sin(x + quarters · π/2)."""
    bind = _Bindings()
    x = bind(x)
    n = bind(tirx.floor(x * f32(2 / math.pi) + f32(0.5)))
    r: Expr = x
    for piece in _HALF_PI:
        r = r - n * f32(piece)
    r = bind(r)
    square = bind(r * r)
    sine = bind(_polynomial(square, _SINE) * square * r + r)
    cosine = bind(_polynomial(square, _COSINE) * square * square - f32(0.5) * square + f32(1))
    one, two = tirx.const(1, "int32"), tirx.const(2, "int32")
    quadrant = bind(n.astype("int32") + tirx.const(quarters, "int32"), "int32")
    size = bind(tirx.Select(tirx.bitwise_and(quadrant, one) == one, cosine, sine))
    return bind.around(tirx.Select(tirx.bitwise_and(quadrant, two) == two, f32(0) - size, size))
