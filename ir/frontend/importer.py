"""From a traced model to a graph: lowering, recognition, and what remains of the position-only values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.errors import UnsupportedOp, UnsupportedOps
from cosyn.ir.frontend import aten_attention, aten_contraction, aten_einsum, aten_elementwise, aten_movement
from cosyn.ir.frontend.builder import GraphBuilder, remove_dead, rewrite
from cosyn.ir.frontend.exported import Exported, location
from cosyn.ir.frontend.lowering import CannotLower, Lowering, OperandNotLowered, op_name
from cosyn.ir.frontend.patterns import layout, norm
from cosyn.ir.frontend.patterns.activation import recognise_activations
from cosyn.ir.frontend.patterns.attention import SpelledOutAttention, shared_heads
from cosyn.ir.frontend.patterns.rope import recognise_rope
from cosyn.ir.frontend.positional import Array, PositionValues
from cosyn.ir.frontend.token_parallel import check_token_parallel
from cosyn.ir.graph import Graph, Input, Weight
from cosyn.ir.types import SEQ, TensorType

HANDLERS = (
    aten_elementwise.HANDLERS
    | aten_movement.HANDLERS
    | aten_contraction.HANDLERS
    | aten_attention.HANDLERS
    | aten_einsum.HANDLERS
)
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

    `weight_types` gives shape and stored type of each parameter, `buffers` the values of buffers, `tied` the
    one name in `weight_types` of each parameter. Raises
    UnsupportedOps with everything that has no meaning in the IR.
    """
    types = {"%token_ids": _TOKENS, "%positions": _TOKENS}
    types |= {f"@{key}": declared for key, declared in weight_types.items()}
    builder = GraphBuilder(types)
    positional = PositionValues(exported, buffers)
    low = Lowering(exported, builder, positional, HANDLERS, tied, max_seq)
    low.run(list(exported.module.graph.nodes))
    if low.unsupported:
        raise UnsupportedOps(low.unsupported)
    graph = _graph(name, low, (low.value(exported.output),), max_seq)
    graph = rewrite(rewrite(graph, layout.MergeEqual()), *norm.RULES)
    graph = recognise_activations(graph)
    graph = recognise_rope(graph, positional, low.position_inputs, max_seq)
    graph = rewrite(graph, *layout.RULES)
    spelled_out = SpelledOutAttention(positional, low.position_inputs, max_seq)
    graph = rewrite(graph, spelled_out)
    graph = replace(graph, weights=(*graph.weights, *spelled_out.weights))
    graph = rewrite(graph, *layout.RULES, shared_heads)
    graph = rewrite(lower_positions(graph, low), *layout.RULES)
    check_token_parallel(graph)
    graph = tidy_names(graph)
    used = {w.key for w in graph.weights}
    return graph, {key: array for key, array in positional.constants.items() if key in used}


def lower_positions(graph: Graph, low: Lowering) -> Graph:
    """`graph` with the position-only inputs that nothing recognised computed by nodes of their own."""
    left = [i for i in graph.inputs if i.name in low.position_inputs]
    if not left:
        return graph
    types = {ref: t for ref, t in graph.types.items() if not graph.producer(ref)}
    types |= {ref: t for ref, t in low.builder.types.items() if ref.startswith("@")}
    low.restart(GraphBuilder(types, (n.name for n in graph.nodes)))
    renamed: dict[str, str] = {}
    for given in left:
        source = low.position_inputs[given.name]
        try:
            if source.blocked is not None:
                raise CannotLower("a mask that does not belong to an attention of known form")
            renamed[f"%{given.name}"] = low.value(source.node)
        except OperandNotLowered:
            continue
        except CannotLower as error:
            where = location(source.node)
            low.unsupported.append(
                UnsupportedOp(op_name(source.node), source.node.name, where.layer, where.source, str(error))
            )
    if low.unsupported:
        raise UnsupportedOps(low.unsupported)
    names = {i.name for i in left}
    graph = replace(graph, inputs=tuple(i for i in graph.inputs if i.name not in names))
    declared = {w.name for w in graph.weights}
    added = tuple(
        Weight(key, low.builder.types[ref], key) for ref, key in low.weights_used.items() if key not in declared
    )
    graph = replace(graph, weights=(*graph.weights, *added)).map_refs(lambda ref: renamed.get(ref, ref))
    return remove_dead(replace(graph, nodes=(*low.builder.nodes, *graph.nodes)))


def tidy_names(graph: Graph) -> Graph:
    """`graph` with nodes named by op and number in order, without the gaps that rewriting leaves."""
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for node in graph.nodes:
        count = counts.get(node.op, 0)
        counts[node.op] = count + 1
        names[node.name] = f"{node.op}_{count}" if count else node.op

    def rename(ref: str) -> str:
        producer = graph.producer(ref)
        return ref if producer is None else f"%{names[producer.name]}{ref[len(producer.name) + 1 :]}"

    renamed = graph.map_refs(rename)
    return renamed.with_nodes(replace(n, name=names[n.name]) for n in renamed.nodes)


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
    return remove_dead(graph)
