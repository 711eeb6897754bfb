"""What each op of a graph means in the accelerator's arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model import sequences
from cosyn.accelerator_model.numerics.float32 import normalise
from cosyn.accelerator_model.numerics.integer import integer_product, scaled
from cosyn.accelerator_model.numerics.pass_execution import run
from cosyn.accelerator_model.numerics.rotary import rotary_rows
from cosyn.accelerator_model.reference.attention import QuantizedCache, attend
from cosyn.accelerator_model.reference.weights import MatrixSource
from cosyn.accelerator_model.sequences import Passes
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS
from cosyn.ir.ops.row import NormAttrs

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation may ask for besides its operands."""

    weights: MatrixSource
    lanes: int

    def passes(self, steps: Passes, **env: Array) -> dict[str, Array]:
        """Everything that `steps` make of `env`."""
        return dict(run(steps, env, self.lanes))


Operation = Callable[[Context, Node, list[Any]], tuple[Any, ...]]
"""Context, node and operands -> results. A quantized weight arrives as its reference."""


def _embedding(_context: Context, _node: Node, operands: list[Any]) -> tuple[Any, ...]:
    ids, table = operands
    return (normalise(table[ids]),)


def _rms_norm(context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    x, *weight = operands
    steps = sequences.rms_norm(x.shape[-1], _eps(node), weighted=bool(weight))
    return (context.passes(steps, x=x, **dict(zip(("weight",), weight, strict=False)))["y"],)


def _layer_norm(context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    x, *affine = operands
    steps = sequences.layer_norm(x.shape[-1], _eps(node), weighted=len(affine) > 0, biased=len(affine) > 1)
    return (context.passes(steps, x=x, **dict(zip(("weight", "bias"), affine, strict=False)))["y"],)


def _eps(node: Node) -> float:
    return cast(NormAttrs, node.attrs).eps


def _quantize_rows(context: Context, _node: Node, operands: list[Any]) -> tuple[Any, ...]:
    env = context.passes(sequences.quantize_rows(), x=operands[0])
    return env["codes"], env["scale"][..., None]


def _linear_i8(context: Context, _node: Node, operands: list[Any]) -> tuple[Any, ...]:
    codes, scales, weight, *bias = operands
    matrix = context.weights.matrix(weight)
    rows = codes.reshape(-1, codes.shape[-1])
    y = scaled(integer_product(rows, matrix.codes), matrix.scales, scales.reshape(-1))
    if bias:
        y = context.passes(sequences.bias(), x=y, bias=bias[0])["y"]
    return (y.reshape(*codes.shape[:-1], -1),)


def _rope(context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    x, positions, frequencies = operands
    attrs: Any = node.attrs
    turned = x[..., : attrs.rotary_dim]
    half = attrs.rotary_dim // 2
    low, high = (
        (turned[..., 0::2], turned[..., 1::2]) if attrs.interleaved else (turned[..., :half], turned[..., half:])
    )
    cosine, sine = rotary_rows(frequencies, positions, attrs.scale)
    env = context.passes(sequences.rotary(), low=low, high=high, cosine=cosine, sine=sine)
    out = normalise(x)
    if attrs.interleaved:
        out[..., 0 : attrs.rotary_dim : 2], out[..., 1 : attrs.rotary_dim : 2] = env["out_low"], env["out_high"]
    else:
        out[..., :half], out[..., half : attrs.rotary_dim] = env["out_low"], env["out_high"]
    return (out,)


def _kv_append(context: Context, _node: Node, operands: list[Any]) -> tuple[Any, ...]:
    cache, keys, values, _positions, _slots = operands
    assert isinstance(cache, QuantizedCache)
    cache.append(keys, values, context.lanes)
    return (cache,)


def _attend(context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    q, cache, positions, _slots, *extra = operands
    attrs: Any = node.attrs
    return (attend(attrs, q, cache, positions, extra, context.lanes),)


def _unary(context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    return (context.passes(sequences.UNARY[node.op](), x=operands[0])["y"],)


def _binary(context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    x, other = (np.asarray(o) for o in operands)
    if not np.issubdtype(x.dtype, np.floating):
        return _as_is(context, node, operands)
    if x.ndim == 0 and node.op in ("add", "mul"):
        x, other = other, x
    if other.ndim == 0:
        return (context.passes(sequences.with_number(node.op, float(other)), x=x)["y"],)
    x, other = np.broadcast_arrays(x, other)
    return (context.passes(sequences.BINARY[node.op](), x=x, other=other)["y"],)


def _scalar(_context: Context, node: Node, _operands: list[Any]) -> tuple[Any, ...]:
    attrs: Any = node.attrs
    return (np.asarray(attrs.value, np.float32 if attrs.dtype.is_float else attrs.dtype.numpy),)


def _as_is(_context: Context, node: Node, operands: list[Any]) -> tuple[Any, ...]:
    """Ops that move elements, and integer arithmetic on positions."""
    result = OPS[node.op].reference(node.attrs, *operands)
    return result if isinstance(result, tuple) else (np.asarray(result),)


OPERATIONS: Mapping[str, Operation] = {
    "embedding": _embedding,
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "quantize_rows": _quantize_rows,
    "linear_i8": _linear_i8,
    "rope": _rope,
    "kv_append": _kv_append,
    "attend": _attend,
    "scalar": _scalar,
    **dict.fromkeys(("reshape", "transpose", "slice", "concat", "expand", "take"), _as_is),
    **dict.fromkeys(sequences.UNARY, _unary),
    **dict.fromkeys(sequences.BINARY, _binary),
}
"""Op name -> its meaning; what is not here the accelerator does not do."""
