"""From a traced model to a graph: lowering, recognition, and what remains of the position-only values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.errors import UnsupportedOps
from cosyn.ir.frontend import aten_contraction, aten_elementwise, aten_movement
from cosyn.ir.frontend.builder import GraphBuilder, remove_dead, rewrite
from cosyn.ir.frontend.exported import Exported
from cosyn.ir.frontend.lowering import Lowering
from cosyn.ir.frontend.patterns import layout, norm
from cosyn.ir.frontend.patterns.activation import recognise_activations
from cosyn.ir.frontend.patterns.rope import recognise_rope
from cosyn.ir.frontend.positional import Array, PositionValues
from cosyn.ir.graph import Graph, Input, Weight
from cosyn.ir.types import SEQ, TensorType

HANDLERS = aten_elementwise.HANDLERS | aten_movement.HANDLERS | aten_contraction.HANDLERS
_TOKENS = TensorType((SEQ,), DType.I32)


def build_graph(
    exported: Exported,
    name: str,
    weight_types: Mapping[str, TensorType],
    buffers: Mapping[str, torch.Tensor],
    max_seq: int,
    tied: Mapping[str, str],
) -> tuple[Graph, dict[str, Array]]:
    """The graph of a traced model, and the tensors that it needs beside the model's weights, by key.

    `weight_types` gives shape and stored type of each parameter, `buffers` the values of buffers, `tied` the one
    name in `weight_types` of each parameter. Raises
    UnsupportedOps with everything that has no meaning in the IR.
    """
    types = {"%token_ids": _TOKENS, "%positions": _TOKENS}
    types |= {f"@{key}": declared for key, declared in weight_types.items()}
    builder = GraphBuilder(types)
    positional = PositionValues(exported, buffers)
    low = Lowering(exported, builder, positional, HANDLERS, tied)
    low.run(list(exported.module.graph.nodes))
    if low.unsupported:
        raise UnsupportedOps(low.unsupported)
    logits = low.value(exported.output)
    graph = _graph(name, low, (logits,), max_seq)
    graph = rewrite(graph, *norm.RULES)
    graph = recognise_activations(graph)
    graph = recognise_rope(graph, positional, low.position_inputs, max_seq)
    graph = rewrite(graph, *layout.RULES)
    return remove_dead(graph), positional.constants


def _graph(name: str, low: Lowering, outputs: tuple[str, ...], max_seq: int) -> Graph:
    types = low.builder.types
    extra = tuple(Input(n, types[f"%{n}"]) for n in low.position_inputs)
    graph = Graph(
        name=name,
        dims={"seq": (1, max_seq)},
        inputs=(Input("token_ids", _TOKENS), Input("positions", _TOKENS), *extra),
        weights=tuple(Weight(key, types[ref], key) for ref, key in low.weights_used.items()),
        nodes=tuple(low.builder.nodes),
        outputs=outputs,
    )
    return remove_dead(replace(graph))
