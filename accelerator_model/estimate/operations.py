"""What a model computes for a token, as a short list of shapes: read from the graph, without weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cosyn.accelerator_model.estimate.weight_form import WeightForm
from cosyn.ir.dtype import DType
from cosyn.ir.errors import RequestError
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import AttentionAttrs

Kind = Literal["norm", "linear", "rope", "append", "attend", "elementwise"]

_ELEMENTWISE = ("add", "sub", "mul", "silu", "relu", "gelu", "gelu_tanh", "sigmoid", "tanh", "neg", "softcap")
_FREE = (
    "slice", "reshape", "transpose", "concat", "cast", "quantize_rows", "take", "embedding", "scalar", "expand",
    "squeeze", "unsqueeze",
)  # fmt: skip
"""Ops that cost the accelerator nothing of their own: movement is addressing, embedding is the host's,
quantization belongs to the linear that asks for it."""


class UnestimatedOps(RequestError):
    """Ops that the estimate has no formula for; names them all."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a step on `width` elements a token.

    `linear`: `width` inputs and `outputs`; `norm`: `form` is "rms" or "layer"; `elementwise`: `form` is the IR op
    and `operands` the number of tensors it reads (the others are numbers); `rope`, `append`, `attend`: `heads` of
    `width` elements, values of `value_width`, `kv_heads` of them cached, `form` names "softcap" and "alibi",
    `window` and `sinks` bound the positions that are read (0: all).
    `last_token` marks what only the step's last token needs (the head). `layer` is the decoder layer, -1 outside of
    any. `stored`: how a linear's weights lie in memory, None where the graph has no quantized ones.
    """

    kind: Kind
    name: str
    layer: int
    width: int
    outputs: int = 0
    bias: bool = False
    form: str = ""
    operands: int = 1
    heads: int = 0
    kv_heads: int = 0
    value_width: int = 0
    window: int = 0
    sinks: int = 0
    last_token: bool = False
    stored: WeightForm | None = None

    @property
    def weights(self) -> int:
        """Weights of a linear; 0 for everything else."""
        return self.width * self.outputs if self.kind == "linear" else 0


def operations(graph: Graph) -> tuple[Operation, ...]:
    """The operations of `graph` (after the passes, with explicit KV state), in order.

    UnestimatedOps lists every op that has no formula, with the nodes that use it.
    """
    unknown: dict[str, list[str]] = {}
    found: list[Operation] = []
    layer = -1
    for node in graph.nodes:
        layer = _layer(node, layer)
        made = list(_operation(graph, node, layer))
        if not made and node.op not in _FREE and node.op not in _ELEMENTWISE:
            unknown.setdefault(node.op, []).append(node.name)
        found += made
    if unknown:
        listed = "; ".join(f"{op} ({len(names)}, first %{names[0]})" for op, names in sorted(unknown.items()))
        raise UnestimatedOps(f"the accelerator has no operation for: {listed}")
    return tuple(found)


def _layer(node: Node, current: int) -> int:
    """The decoder layer: the first number in the name of a weight that the node reads; the head has none."""
    names = [ref for ref in node.operands if ref.startswith(("@", "$"))]
    numbers = [int(m.group(1)) for ref in names if (m := re.search(r"(?:^[$]kv|\.)(\d+)(?:\.|$)", ref))]
    if numbers:
        return numbers[0]
    return -1 if node.op in ("linear", "linear_i8", "rms_norm", "layer_norm") else current


def _operation(graph: Graph, node: Node, layer: int) -> Iterator[Operation]:
    shape = node.type.shape
    last = bool(shape) and str(shape[0]) == "out"
    if node.op in ("linear", "linear_i8"):
        weight = next(r for r in node.operands if r.startswith("@"))
        outputs, inputs = (int(d) for d in graph.types[weight].shape)
        tensors = sum(not r.startswith("@") for r in node.operands)
        bias = len(node.operands) - tensors > 1
        storage = graph.types[weight].format
        form = WeightForm.of_format(storage) if storage is not None else None
        yield Operation("linear", node.name, layer, inputs, outputs, bias, last_token=last, stored=form)
    elif node.op in ("rms_norm", "layer_norm"):
        yield Operation("norm", node.name, layer, int(shape[-1]), form=node.op.split("_")[0], last_token=last)
    elif node.op == "rope":
        yield Operation("rope", node.name, layer, int(shape[-1]), heads=int(shape[-2]))
    elif node.op == "kv_append":
        state = graph.state(node.operands[0])
        yield Operation(
            "append", node.name, layer, state.head_dim,
            heads=state.n_kv_heads, kv_heads=state.n_kv_heads, value_width=state.v_dim,
        )  # fmt: skip
    elif node.op == "attend":
        heads, width = (int(d) for d in graph.types[node.operands[0]].shape[-2:])
        kv_heads, value = (int(getattr(node.attrs, name)) for name in ("n_kv_heads", "v_dim"))
        variants = " ".join(name for name in ("softcap", "alibi") if getattr(node.attrs, name))
        window, sinks = _window(graph, node)
        yield Operation(
            "attend", node.name, layer, width, form=variants, heads=heads, kv_heads=kv_heads, value_width=value,
            window=window, sinks=sinks,
        )  # fmt: skip
    elif node.op in _ELEMENTWISE and len(shape) >= 2 and not _of_integers(graph, node):
        width = 1
        for dim in shape[1:]:
            width *= int(dim)
        yield Operation(
            "elementwise", node.name, layer, width,
            form=node.op, operands=sum(bool(graph.types[ref].shape) for ref in node.operands), last_token=last,
        )  # fmt: skip


def _window(graph: Graph, node: Node) -> tuple[int, int]:
    """Window and sinks; zeros where they hide nothing, or where ALiBi counts columns from the first position."""
    attrs = node.attrs
    assert isinstance(attrs, AttentionAttrs)
    longest = graph.dims["seq"][1] if "seq" in graph.dims else None
    if attrs.window is None or attrs.alibi or (longest is not None and attrs.window + attrs.sinks >= longest):
        return 0, 0
    return attrs.window, attrs.sinks


def _of_integers(graph: Graph, node: Node) -> bool:
    """Positions and token numbers are the host's."""
    return node.type.dtype in (DType.I32, DType.I64)


def total_weights(items: tuple[Operation, ...]) -> int:
    """Weights of all linears: what a decoded token reads."""
    return sum(item.weights for item in items)


def cached_bytes_per_position(items: tuple[Operation, ...]) -> int:
    """Bytes of INT8 keys and values that one more position adds, without their scales."""
    return sum(i.kv_heads * (i.width + i.value_width) for i in items if i.kind == "append")
