"""The text form of a graph, which `parser.parse` reads back to an equal graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.types import TensorType


def print_graph(graph: Graph, *, locations: bool = False) -> str:
    """One line per declaration and node; `locations` adds `// layer at source` after each node."""
    return "\n".join(_lines(graph, locations)) + "\n"


def print_node(node: Node, *, sigil: str = "%") -> str:
    """One node: `%y = rms_norm(%x, @w) {eps=1e-05} : f32[seq, 64]`."""
    attrs = print_attrs(node.attrs)
    types = ", ".join(print_type(t) for t in node.types)
    return f"{sigil}{node.name} = {node.op}({', '.join(node.operands)}){attrs and ' ' + attrs} : {types}"


def print_type(type_: TensorType) -> str:
    """A type: `f32[seq, 64]`, `bf16[64, 64] as i4g32:f16`, or `state`."""
    return "state" if type_.dtype is DType.STATE else str(type_)


def print_attrs(attrs: Any, *, skip: tuple[str, ...] = ()) -> str:
    """The fields that differ from their default: `{eps=1e-05}`; empty where none does."""
    shown = []
    for field in fields(attrs):
        value = getattr(attrs, field.name)
        if field.name in skip or (field.default is not MISSING and _same(value, field.default)):
            continue
        shown.append(f"{field.name}={_value(value)}")
    return "{" + ", ".join(shown) + "}" if shown else ""


def _lines(graph: Graph, locations: bool) -> Iterator[str]:
    yield f"graph {json.dumps(graph.name, ensure_ascii=False)}"
    for name, (low, high) in graph.dims.items():
        yield f"dim {name} in {low}..{high}"
    for given in graph.inputs:
        yield f"input %{given.name} : {print_type(given.type)}"
    for weight in graph.weights:
        key = json.dumps(weight.key, ensure_ascii=False)
        yield f"weight @{weight.name} : {print_type(weight.type)} from {key}"
    for state in graph.states:
        yield f"state ${state.name} {print_attrs(state, skip=('name',))}"
    for node in graph.constants:
        yield f"constant {print_node(node, sigil='@')}{_comment(node, locations)}"
    for node in graph.nodes:
        yield print_node(node) + _comment(node, locations)
    yield f"return {', '.join(graph.outputs)}"


def _comment(node: Node, locations: bool) -> str:
    where = node.location
    if not locations or not (where.layer or where.source):
        return ""
    return f"  // {where.layer}" + (f" at {where.source}" if where.source else "")


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


def _value(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case DType():
            return value.value
        case str():
            return json.dumps(value, ensure_ascii=False)
        case tuple():
            return "[" + ", ".join(_value(v) for v in value) + "]"
        case float():
            return repr(float(value))  # numpy floats print their type
        case _:
            return str(value)  # an integer or a sympy expression
