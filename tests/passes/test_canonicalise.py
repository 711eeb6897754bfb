"""Canonicalise, text in and text out."""

from __future__ import annotations

import pytest

from cosyn.ir.parser import parse
from cosyn.ir.verifier import check
from cosyn.passes.canonicalise import Canonicalise

HEAD = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 8]
weight @w : bf16[4, 8] from "w"
weight @n : f32[8] from "n"
"""


def canonical(body: str, head: str = HEAD) -> str:
    """The body of the canonical form of `head` and `body`."""
    text = str(check(Canonicalise().run(check(parse(head + body)))))
    return "".join(line + "\n" for line in text.splitlines() if not head_line(line))


def head_line(line: str) -> bool:
    return line.split()[0] in ("graph", "dim", "input", "weight")


CASES = {
    "what has no effect disappears": (
        """\
%a = reshape(%x) {shape=[seq, 8]} : f32[seq, 8]
%b = cast(%a) {to=f32} : f32[seq, 8]
%c = slice(%b) {axis=1, start=0, stop=8} : f32[seq, 8]
%d = expand(%c) {shape=[seq, 8]} : f32[seq, 8]
%e = transpose(%d) {perm=[0, 1]} : f32[seq, 8]
%f = concat(%e) {axis=0} : f32[seq, 8]
%y = silu(%f) : f32[seq, 8]
return %y
""",
        """\
%y = silu(%x) : f32[seq, 8]
return %y
""",
    ),
    "movements of movements become one": (
        """\
%a = reshape(%x) {shape=[seq, 2, 4]} : f32[seq, 2, 4]
%b = reshape(%a) {shape=[seq, 4, 2]} : f32[seq, 4, 2]
%c = transpose(%b) {perm=[1, 0, 2]} : f32[4, seq, 2]
%d = transpose(%c) {perm=[1, 2, 0]} : f32[seq, 2, 4]
%e = slice(%d) {axis=2, start=1, stop=4} : f32[seq, 2, 3]
%y = slice(%e) {axis=2, start=0, stop=3, step=2} : f32[seq, 2, 2]
return %y
""",
        """\
%b = reshape(%x) {shape=[seq, 4, 2]} : f32[seq, 4, 2]
%d = transpose(%b) {perm=[0, 2, 1]} : f32[seq, 2, 4]
%y = slice(%d) {axis=2, start=1, stop=4, step=2} : f32[seq, 2, 2]
return %y
""",
    ),
    "neutral numbers disappear and numbers are computed": (
        """\
%one = scalar() {value=1.0} : f32[]
%zero = scalar() {value=0.0} : f32[]
%two = scalar() {value=2.0} : f32[]
%four = mul(%two, %two) : f32[]
%a = mul(%x, %one) : f32[seq, 8]
%b = add(%zero, %a) : f32[seq, 8]
%c = sub(%b, %zero) : f32[seq, 8]
%d = div(%c, %one) : f32[seq, 8]
%y = mul(%d, %four) : f32[seq, 8]
return %y
""",
        """\
%four = scalar() {value=4.0} : f32[]
%y = mul(%x, %four) : f32[seq, 8]
return %y
""",
    ),
    "powers and roots take their plain form": (
        """\
%two = scalar() {value=2.0} : f32[]
%half = scalar() {value=-0.5} : f32[]
%one = scalar() {value=1.0} : f32[]
%a = pow(%x, %two) : f32[seq, 8]
%b = pow(%a, %half) : f32[seq, 8]
%c = sqrt(%x) : f32[seq, 8]
%d = div(%one, %c) : f32[seq, 8]
%y = add(%b, %d) : f32[seq, 8]
return %y
""",
        """\
%a = mul(%x, %x) : f32[seq, 8]
%b = rsqrt(%a) : f32[seq, 8]
%d = rsqrt(%x) : f32[seq, 8]
%y = add(%b, %d) : f32[seq, 8]
return %y
""",
    ),
    "negations cancel": (
        """\
%minus = scalar() {value=-1.0} : f32[]
%a = mul(%minus, %x) : f32[seq, 8]
%b = neg(%a) : f32[seq, 8]
%y = silu(%b) : f32[seq, 8]
return %y
""",
        """\
%y = silu(%x) : f32[seq, 8]
return %y
""",
    ),
    "equal nodes become one": (
        """\
%a = silu(%x) : f32[seq, 8]
%b = silu(%x) : f32[seq, 8]
%c = topk(%a) {k=2} : f32[seq, 2], i32[seq, 2]
%d = topk(%b) {k=2} : f32[seq, 2], i32[seq, 2]
%y = take_columns(%x, %d.1) : f32[seq, 2]
return %y
""",
        """\
%a = silu(%x) : f32[seq, 8]
%c = topk(%a) {k=2} : f32[seq, 2], i32[seq, 2]
%y = take_columns(%x, %c.1) : f32[seq, 2]
return %y
""",
    ),
    "what only weights decide becomes a constant, numbers in it too": (
        """\
%one = scalar() {value=1.0} : f32[]
%a = add(%n, %one) : f32[8]
%h = rms_norm(%x, %a) {eps=1e-05} : f32[seq, 8]
%b = transpose(@w) {perm=[1, 0]} : bf16[8, 4]
%c = transpose(%b) {perm=[1, 0]} : bf16[4, 8]
%d = add(%h, %one) : f32[seq, 8]
%y = linear(%d, %c) : f32[seq, 4]
return %y
""".replace("%n,", "@n,"),
        """\
constant @one_1 = scalar() {value=1.0} : f32[]
constant @n.add = add(@n, @one_1) : f32[8]
%one = scalar() {value=1.0} : f32[]
%h = rms_norm(%x, @n.add) {eps=1e-05} : f32[seq, 8]
%d = add(%h, %one) : f32[seq, 8]
%y = linear(%d, @w) : f32[seq, 4]
return %y
""",
    ),
    "an elementwise op reads what was expanded": (
        """\
%a = expand(@n) {shape=[seq, 8]} : f32[seq, 8]
%y = mul(%x, %a) : f32[seq, 8]
return %y
""",
        """\
%y = mul(%x, @n) : f32[seq, 8]
return %y
""",
    ),
    "an expansion that decides the shape stays": (
        """\
%a = expand(%x) {shape=[3, seq, 8]} : f32[3, seq, 8]
%y = mul(%a, @n) : f32[3, seq, 8]
return %y
""",
        """\
%a = expand(%x) {shape=[3, seq, 8]} : f32[3, seq, 8]
%y = mul(%a, @n) : f32[3, seq, 8]
return %y
""",
    ),
    "numbers that broadcast a smaller operand stay": (
        """\
%s = sum(%x) : f32[seq, 1]
%z = scalar() {value=0.0} : f32[]
%o = expand(%z) {shape=[seq, 8]} : f32[seq, 8]
%y = add(%s, %o) : f32[seq, 8]
return %y
""",
        """\
%s = sum(%x) : f32[seq, 1]
%z = scalar() {value=0.0} : f32[]
%o = expand(%z) {shape=[seq, 8]} : f32[seq, 8]
%y = add(%s, %o) : f32[seq, 8]
return %y
""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_before_and_after(name: str) -> None:
    before, after = CASES[name]
    assert canonical(before) == after


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_to_do(name: str) -> None:
    once = Canonicalise().run(parse(HEAD + CASES[name][0]))
    assert Canonicalise().run(once) == once


def test_what_nothing_needs_disappears_but_not_the_cache() -> None:
    head = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 1, 8]
input %p : i32[seq]
weight @w : f32[8, 8] from "w"
"""
    graph = Canonicalise().run(parse(head + """\
state $kv {n_kv_heads=1, head_dim=8, dtype=f32}
constant @c = neg(@w) : f32[8, 8]
%dead = silu(%x) : f32[seq, 1, 8]
%s = kv_append($kv, %x, %x, %p, %p) : state
%y = neg(%x) : f32[seq, 1, 8]
return %y
"""))  # fmt: skip
    assert [n.name for n in graph.nodes] == ["s", "y"]
    assert graph.constants == graph.weights == ()
