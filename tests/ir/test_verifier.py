"""Each rule of the verifier catches a graph that breaks it, and only such."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.ir.graph import Graph
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.parser import parse
from cosyn.ir.verifier import RULES, VerifyError, check, verify

GOOD = """\
graph "good"
dim seq in 1..8
input %x : f32[seq, 4]
input %p : i32[seq]
weight @w : f32[8, 4] as i4g4:f16 from "w"
state $kv {n_kv_heads=1, head_dim=4, dtype=f32}
constant @c = neg(@w) : f32[8, 4]
%h = reshape(%x) {shape=[seq, 1, 4]} : f32[seq, 1, 4]
%s = kv_append($kv, %h, %h, %p, %p) : state
%a = attend(%h, %s, %p, %p) {scale=1.0, n_kv_heads=1, v_dim=4} : f32[seq, 1, 4]
%y = linear(%x, @c) : f32[seq, 8]
return %y
"""


def edited(old: str, new: str) -> Graph:
    assert old in GOOD
    return parse(GOOD.replace(old, new))


def renamed(graph: Graph, name: str) -> Graph:
    *others, last = graph.nodes
    return replace(graph, nodes=(*others, replace(last, name=name)), outputs=(f"%{name}",))


BAD: dict[str, tuple[Graph, str]] = {
    "a name consists of letters, digits, _ and .": (renamed(parse(GOOD), "y z"), "%y z: found 'y z'"),
    "every value, weight, constant and state is defined once": (
        edited("%y = linear", "%h = linear"), "%h: found 2 definitions",
    ),
    "the op is in the op table": (
        replace(parse(GOOD), nodes=(replace(parse(GOOD).nodes[0], op="fft"),)), "%h: found 'fft'",
    ),
    "the op takes that many operands": (
        edited("linear(%x, @c)", "linear(%x)"), "%y: linear takes 2..3 operands, found 1",
    ),
    "the attribute record is the one that the op declares": (
        replace(parse(GOOD), nodes=(replace(parse(GOOD).nodes[0], attrs=NO_ATTRS),)),
        "%h: reshape has ReshapeAttrs, found NoAttrs",
    ),
    "a constant has one result and reads weights and earlier constants only": (
        edited("neg(@w)", "neg(%x)"), "@c: found %x",
    ),
    "an operand is an input, weight, constant, state or an earlier node's result": (
        edited("linear(%x, @c)", "linear(%z, @c)"), "%y: found %z",
    ),
    "outputs exist": (edited("return %y", "return %z"), "return: found %z"),
    "a symbolic dimension is declared with a range from 1": (
        edited("input %p : i32[seq]", "input %p : i32[batch]"), "%p: found batch",
    ),
    "weights and constants have fixed shapes": (
        edited('weight @w : f32[8, 4] as i4g4:f16 from "w"', 'weight @w : f32[seq, 4] from "w"'),
        "@w: found f32[seq, 4]",
    ),
    "the result types follow from the operands": (
        edited("f32[seq, 8]", "f32[seq, 9]"), "%y: linear gives f32[seq, 8], found f32[seq, 9]",
    ),
    "only weights and constants have a storage format, and it fits their rows": (
        edited("i4g4:f16", "i4g3:f16"), "@w: groups of 3 do not divide 4 columns",
    ),
    "a state is written once per step, and read only after that": (
        edited("attend(%h, %s,", "attend(%h, $kv,"), "%a: $kv was written by %s",
    ),
}  # fmt: skip


def test_a_good_graph_breaks_no_rule() -> None:
    assert verify(parse(GOOD)) == []
    assert check(parse(GOOD)) == parse(GOOD)


def test_every_rule_has_a_bad_graph() -> None:
    assert set(BAD) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_catches_its_bad_graph(rule: str) -> None:
    graph, expected = BAD[rule]
    found = [f"{v.where}: {v.found}" for v in verify(graph) if v.rule == rule]
    assert expected in found


def test_an_op_that_refuses_its_operands_is_reported_not_raised() -> None:
    graph = edited('f32[8, 4] as i4g4:f16 from "w"', 'f32[8, 5] from "w"').with_nodes(parse(GOOD).nodes[-1:])
    graph = replace(
        graph,
        constants=(replace(graph.constants[0], types=graph.weights[0].type and (graph.weights[0].type,)),),
    )
    (violation,) = verify(graph)
    assert str(violation) == (
        "%y: the result types follow from the operands; linear: linear needs a weight [n, 4], found f32[8, 5]"
    )


def test_the_error_lists_everything_and_names_the_stage() -> None:
    graph = edited("return %y", "return %z, %q")
    with pytest.raises(VerifyError) as caught:
        check(graph, "merge_linears")
    assert str(caught.value) == (
        "the graph after merge_linears breaks 2 rules of the IR:\n"
        "  return: outputs exist; found %z\n"
        "  return: outputs exist; found %q"
    )
