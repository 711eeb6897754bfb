"""exp and tanh as polynomials on vectors: TVM calls libm for them, one element at a time."""

from __future__ import annotations

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import Expr, f32
from cosyn.codegen.tvm.kernels.attend_vector import splat, vector

# ln 2 in two pieces: n · LN2_HIGH is exact for |n| < 2^11 (Cephes, expf.c).
LN2_HIGH = 0.693359375
LN2_LOW = -2.12194440e-4
# (e^r - 1 - r) / r² on |r| ≤ ln 2 / 2, highest power first (Cephes, expf.c).
COEFFICIENTS = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
)  # fmt: skip


def _splat(value: float, lanes: int) -> Expr:
    return splat(f32(value), lanes)


def _reduce(x: Expr, lanes: int) -> tuple[Expr, Expr]:
    """e^x = scale · (1 + rest), as (scale, rest): scale a power of two, |rest| < 0.42."""
    n = T.bind(tirx.floor(x * _splat(1.4426950408889634, lanes) + _splat(0.5, lanes)))
    r = T.bind(x - n * _splat(LN2_HIGH, lanes) - n * _splat(LN2_LOW, lanes))
    polynomial = _splat(COEFFICIENTS[0], lanes)
    for c in COEFFICIENTS[1:]:
        polynomial = polynomial * r + _splat(c, lanes)
    kind = vector("int32", lanes)
    bits = (n.astype(kind) + tirx.const(127, kind)) << tirx.const(23, kind)
    return tirx.reinterpret(vector("float32", lanes), bits), T.bind(polynomial * r * r + r)


def exp_nonpositive(x: Expr, lanes: int) -> Expr:
    """e^x for x ≤ 0, f32, relative error below 2e-7; exactly 0 below -87.7, where results are subnormal.

    Emits statements into the function being built.
    """
    # At -88 the scale is 2^-127, whose bit pattern is that of 0.
    scale, rest = _reduce(T.bind(tirx.max(x, _splat(-88.0, lanes))), lanes)
    return T.bind(scale * rest + scale)


def tanh(x: Expr, lanes: int) -> Expr:
    """tanh x, f32, relative error below 5e-7, by (1 - e^-2|x|) / (1 + e^-2|x|). Emits statements."""
    size = T.bind(tirx.max(x, _splat(0.0, lanes) - x))
    scale, rest = _reduce(T.bind(tirx.max(size * _splat(-2.0, lanes), _splat(-40.0, lanes))), lanes)
    # e^y - 1 = scale · rest + (scale - 1) loses nothing where y is near 0: there scale is 1.
    below_one = T.bind(scale * rest + (scale - _splat(1.0, lanes)))
    magnitude = T.bind((_splat(0.0, lanes) - below_one) / (below_one + _splat(2.0, lanes)))
    return T.bind(tirx.Select(x < _splat(0.0, lanes), _splat(0.0, lanes) - magnitude, magnitude))
