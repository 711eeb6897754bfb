"""parse(print(g)) == g for every op, and what the parser says about text that is no graph."""

from __future__ import annotations

import pytest
import sympy

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input, KVState, Weight
from cosyn.ir.node import Location, Node
from cosyn.ir.ops import OPS
from cosyn.ir.parser import ParseError, parse
from cosyn.ir.printer import print_graph, print_node
from cosyn.ir.types import SEQ, TensorType
from cosyn.ir.weight_format import WeightFormat
from tests.ir.text_cases import NODES

TEXT = """\
graph "tiny \\"model\\""
dim seq in 1..64
dim out in 1..8
input %ids : i32[seq]
input %positions : i32[seq]
weight @embed : bf16[50, 32] from "model.embed_tokens.weight"
weight @w : f32[16, 32] as i4g32:f16 from "a // b"
weight @u : f16[16, 32] as u3row:f32 from "c"
state $kv {n_kv_heads=2, head_dim=8, dtype=f16, window=16, sinks=2}
constant @wt = transpose(@w) {perm=[1, 0]} : f32[32, 16] as i8g8:f32
%h = embedding(%ids, @embed) : f32[seq, 32]  // layers.0 at model.py:12
%n = rms_norm(%h) {eps=1e-05} : f32[seq, 32]
%best = topk(%n) {k=2} : f32[seq, 2], i32[seq, 2]
%y = linear(%n, @w) : f32[seq, 16]
return %y, %best.1
"""


def test_a_whole_graph_round_trips() -> None:
    graph = parse(TEXT)
    assert print_graph(graph, locations=True) == TEXT
    assert parse(print_graph(graph)) == graph
    assert graph.nodes[0].location == Location("layers.0", "model.py:12")
    assert str(graph) == print_graph(graph)


@pytest.mark.parametrize("node", NODES, ids=lambda n: n.op)
def test_every_op_round_trips(node: Node) -> None:
    graph = Graph("g", {"seq": (1, 4)}, (), (), (node,), (node.ref,))
    assert parse(print_graph(graph)) == graph


def test_the_cases_cover_every_op() -> None:
    assert {n.op for n in NODES} == set(OPS)


@pytest.mark.parametrize(
    "dim",
    [
        3 * SEQ,
        SEQ + 1,
        2 * SEQ - 3,
        SEQ**2,
        sympy.floor(SEQ / 2),
        sympy.Max(1, SEQ - 4),
        (SEQ + 1) * (SEQ + 2),
    ],
    ids=str,
)
def test_dimensions_round_trip(dim: sympy.Expr) -> None:
    graph = Graph("g", {"seq": (1, 4)}, (Input("x", TensorType((dim, 3), DType.F32)),), (), (), ("%x",))
    assert parse(print_graph(graph)) == graph


@pytest.mark.parametrize(
    "text",
    ["i4g32:f16", "u4g128:f16", "i8row:f32", "u2g4:bf16", "i3g128u8:f32", "i8row.8of16:f32", "i4g32u8.2of16:f32"],
)
def test_formats_round_trip(text: str) -> None:
    assert str(WeightFormat.parse(text)) == text
    weight = Weight("w", TensorType((8, 128), DType.F32, WeightFormat.parse(text)), "key")
    graph = Graph("g", {}, (), (weight,), (), ("@w",))
    assert parse(print_graph(graph)) == graph


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q4", "found 'q4'"),
        ("i4g32.8of12:f32", "found 'i4g32.8of12:f32'"),
        ("i8row.5of16:f32", "of 16 columns 8, 4, 2 may be kept, found 5"),
        ("u4g32u8:f32", "integer scales need groups of signed codes below 8 bits, found u4g32u8:f32"),
        ("i4rowu8:f32", "integer scales need groups"),
        ("i4g32.8of16:f16", "sparse weights are signed, in whole rows or groups with integer scales"),
        ("i3g32u8.8of16:f32", "codes of 3 bits have no sparse form"),
        ("i9row:f32", "weight bits must lie in 2..8, found 9"),
    ],
)
def test_formats_that_do_not_exist(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightFormat.parse(text)


def test_states_round_trip() -> None:
    states = (KVState("a", 1, 8, DType.I8), KVState("b.0", 2, 8, DType.F32, value_dim=4, window=3, sinks=1))
    graph = Graph("g", {}, (Input("x", TensorType((), DType.F32)),), (), (), ("%x",), states)
    assert parse(print_graph(graph)) == graph


def test_a_node_reads_as_one_line() -> None:
    node = next(n for n in NODES if n.op == "linear")
    assert print_node(node) == "%y = linear(%x, @w, @b) : f32[seq, 4]"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("graph x", 1, 7, "expected a string in double quotes, found 'x'"),
        ("  what is this", 1, 3, "expected a declaration or a node `%name = op(…) : type`, found 'what'"),
        ('graph "g"\ndim seq in 4', 2, 13, "expected `..`, found end of line"),
        ("input %x : f33[2]", 1, 12, "expected an element type (did you mean 'f32'?), found 'f33'"),
        ("input %x : f32[2+]", 1, 18, "an integer, a symbol, or an expression of them, found ']'"),
        ("input %x f32[2]", 1, 10, "expected `:` and the type, found 'f32'"),
        ("weight @w : f32[2] from key", 1, 25, "expected a string in double quotes, found 'key'"),
        ('weight @w : f32[2] as q4 from "k"', 1, 23, "expected a weight format such as i4g32:f16"),
        ("%y = linaer(%x, @w) : f32[2]", 1, 6, "expected an op (did you mean 'linear'?), found 'linaer'"),
        ("%y = rms_norm(%x) {epz=1.0} : f32[2]", 1, 20, "an attribute (did you mean 'eps'?), found 'epz'"),
        ("%y = rms_norm(%x) : f32[2]", 1, 19, "expected the attribute eps, found ':'"),
        ("%y = neg(x) : f32[2]", 1, 10, "expected a reference (%name, @name or $name), found 'x'"),
        ("%y = neg(%x : f32[2]", 1, 13, "expected `,` or `)`, found ':'"),
        ("%y = neg(%x) : f32[2] and", 1, 23, "expected end of line, found 'and'"),
        ('graph "g"\n', 2, 1, "expected `return` with the outputs, found end of text"),
    ],
)  # fmt: skip
def test_errors_point_at_the_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
