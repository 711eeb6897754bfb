"""Which nodes form a kernel."""

from __future__ import annotations

import pytest

from cosyn.ir.graph import Graph
from cosyn.ir.parser import parse
from cosyn.ir.verifier import check
from cosyn.passes.fuse import FusionPlan, fuse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe
from tests.passes.graphs import llama
from tests.passes.plan_checks import check_fusion

HEAD = """\
graph "g"
dim seq in 1..64
input %x : f32[seq, 8]
input %z : f32[seq, 8]
input %p : i32[seq]
weight @w : f32[8, 8] from "w"
weight @n : f32[8] from "n"
weight @f : f32[2] from "f"
"""


def planned(body: str) -> FusionPlan:
    graph = check(parse(HEAD + body))
    plan = fuse(graph)
    check_fusion(graph, plan)
    return plan


def shown(plan: FusionPlan) -> list[str]:
    return [f"{g.kind}: {' '.join(g.nodes)} -> {' '.join(g.outputs)}" for g in plan.groups]


CASES = {
    "an epilogue ends a linear": (
        """\
%two = scalar() {value=2.0} : f32[]
%l = linear(%x, @w) : f32[seq, 8]
%b = add(%l, @n) : f32[seq, 8]
%a = silu(%b) : f32[seq, 8]
%s = mul(%a, %two) : f32[seq, 8]
%r = add(%z, %s) : f32[seq, 8]
return %r
""",
        ["linear: two l b a s r -> %r"],
    ),
    "a sum of two linears ends the later one": (
        """\
%l = linear(%x, @w) : f32[seq, 8]
%m = linear(%z, @w) : f32[seq, 8]
%r = add(%l, %m) : f32[seq, 8]
return %r
""",
        ["linear: l -> %l", "linear: m r -> %r"],
    ),
    "a linear with several readers keeps its result": (
        """\
%l = linear(%x, @w) : f32[seq, 8]
%a = silu(%l) : f32[seq, 8]
%r = mul(%a, %l) : f32[seq, 8]
return %r
""",
        ["linear: l -> %l", "elementwise: a r -> %r"],
    ),
    "a broadcast is no epilogue of what it widens": (
        """\
%s = sum(%x) : f32[seq, 1]
%r = mul(%z, %s) : f32[seq, 8]
return %r
""",
        ["row: s r -> %r"],
    ),
    "a norm takes in what feeds it and what follows": (
        """\
%a = add(%x, %z) : f32[seq, 8]
%n = rms_norm(%a, @n) {eps=1e-05} : f32[seq, 8]
%q = quantize_rows(%n) : i8[seq, 8], f32[seq, 1]
%l = linear_i8(%q, %q.1, @w) : f32[seq, 8]
%r = add(%a, %l) : f32[seq, 8]
return %r
""",
        ["row: a n q -> %a %q %q.1", "linear_i8: l r -> %r"],
    ),
    "slices and reshapes become index arithmetic of their readers": (
        """\
%l = linear(%x, @w) : f32[seq, 8]
%a = slice(%l) {axis=1, start=0, stop=4} : f32[seq, 4]
%b = slice(%l) {axis=1, start=4, stop=8} : f32[seq, 4]
%h = reshape(%a) {shape=[seq, 1, 4]} : f32[seq, 1, 4]
%q = rope(%h, %p, @f) {rotary_dim=4} : f32[seq, 1, 4]
%g = silu(%b) : f32[seq, 4]
%k = reshape(%g) {shape=[seq, 1, 4]} : f32[seq, 1, 4]
%r = add(%q, %k) : f32[seq, 1, 4]
return %r
""",
        ["linear: l -> %l", "elementwise: a b h q g k r -> %r"],
    ),
    "a reshape of a stored value is a view, also where a reader repeats it": (
        """\
%a = silu(%x) : f32[seq, 8]
%h = reshape(%a) {shape=[seq, 2, 4]} : f32[seq, 2, 4]
%l = linear(%h, @w4) : f32[seq, 2, 8]
%n = neg(%h) : f32[seq, 2, 4]
return %l, %n
""",
        ["elementwise: a h n -> %a %n", "view: h -> %h", "linear: l -> %l"],
    ),
    "a reshape that is an output is a copy": (
        """\
%l = linear(%x, @w) : f32[seq, 8]
%r = reshape(%l) {shape=[seq, 2, 4]} : f32[seq, 2, 4]
return %r
""",
        ["linear: l -> %l", "elementwise: r -> %r"],
    ),
    "no value leaves a group and comes back": (
        """\
%a = silu(%x) : f32[seq, 8]
%l = linear(%a, @w) : f32[seq, 8]
%r = mul(%a, %l) : f32[seq, 8]
%q = sum(%l2) : f32[seq, 1]
%s = add(%a, %q) : f32[seq, 8]
return %r, %s
""".replace("%q = sum(%l2)", "%l2 = linear(%r, @w) : f32[seq, 8]\n%q = sum(%l2)"),
        ["elementwise: a -> %a", "linear: l r -> %r", "linear: l2 -> %l2", "row: q s -> %s"],
    ),
    "what mixes rows starts anew": (
        """\
%a = silu(%x) : f32[seq, 8]
%t = transpose(%a) {perm=[1, 0]} : f32[8, seq]
%b = neg(%t) : f32[8, seq]
%m = take(%z, %p) : f32[seq, 8]
%k = silu(%m) : f32[seq, 8]
return %b, %k
""",
        ["elementwise: a -> %a", "elementwise: t b -> %b", "gather: m k -> %k"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_groups(name: str) -> None:
    body, expected = CASES[name]
    extra = 'weight @w4 : f32[8, 4] from "w4"\n' if "@w4" in body else ""
    assert shown(planned(extra + body)) == expected


APPEND_HEAD = """\
weight @wl : f32[24, 8] from "wl"
weight @g : f32[2] from "g"
weight @w4 : f32[8, 4] from "w4"
state $s {n_kv_heads=1, head_dim=4, dtype=f32}
state $t {n_kv_heads=2, head_dim=4, dtype=f32}
%l = linear(%x, @wl) : f32[seq, 24]
%k = slice(%l) {axis=1, start=8, stop=12} : f32[seq, 4]
%v = slice(%l) {axis=1, start=12, stop=16} : f32[seq, 4]
%kh = reshape(%k) {shape=[seq, 1, 4]} : f32[seq, 1, 4]
%vh = reshape(%v) {shape=[seq, 1, 4]} : f32[seq, 1, 4]
"""
QUERIES = """\
%q = slice(%l) {axis=1, start=0, stop=8} : f32[seq, 8]
%qh = reshape(%q) {shape=[seq, 2, 4]} : f32[seq, 2, 4]
"""
ATTEND = "{scale=0.5, n_kv_heads=1, v_dim=4} : f32[seq, 2, 4]"
APPENDS = {
    "an append takes in its rows, and the queries cut from the same product": (
        f"""\
{QUERIES}%w = kv_append($s, %kh, %vh, %p, %p) : state
%a = attend(%qh, %w, %p, %p) {ATTEND}
return %a
""",
        ["linear: l -> %l", "kv_append: k v kh vh q w -> %q %w", "view: qh -> %qh", "attend: a -> %a"],
    ),
    "keys that others read are also written as values": (
        f"""\
{QUERIES}%kr = rope(%kh, %p, @f) {{rotary_dim=4}} : f32[seq, 1, 4]
%w = kv_append($s, %kr, %vh, %p, %p) : state
%a = attend(%qh, %w, %p, %p) {ATTEND}
return %a, %kr
""",
        ["linear: l -> %l", "kv_append: k v kh vh q kr w -> %q %kr %w", "view: qh -> %qh", "attend: a -> %a"],
    ),
    "a gate is better off where it is applied": (
        f"""\
{QUERIES}%gate = slice(%l) {{axis=1, start=16, stop=24}} : f32[seq, 8]
%gs = silu(%gate) : f32[seq, 8]
%w = kv_append($s, %kh, %vh, %p, %p) : state
%a = attend(%qh, %w, %p, %p) {ATTEND}
%ar = reshape(%a) {{shape=[seq, 8]}} : f32[seq, 8]
%r = mul(%ar, %gs) : f32[seq, 8]
return %r
""",
        [
            "linear: l -> %l", "kv_append: k v kh vh q w -> %q %w", "view: qh -> %qh", "attend: a -> %a",
            "view: ar -> %ar", "elementwise: gate gs r -> %r",
        ],
    ),
    "queries of another product join where they turn with the keys": (
        f"""\
%m = linear(%z, @w) : f32[seq, 8]
%mh = reshape(%m) {{shape=[seq, 2, 4]}} : f32[seq, 2, 4]
%mr = rope(%mh, %p, @f) {{rotary_dim=4}} : f32[seq, 2, 4]
%n = linear(%z, @w) : f32[seq, 8]
%nh = reshape(%n) {{shape=[seq, 2, 4]}} : f32[seq, 2, 4]
%nr = rope(%nh, %p, @g) {{rotary_dim=4}} : f32[seq, 2, 4]
%kr = rope(%kh, %p, @f) {{rotary_dim=4}} : f32[seq, 1, 4]
%w = kv_append($s, %kr, %vh, %p, %p) : state
%a = attend(%mr, %w, %p, %p) {ATTEND}
%b = attend(%nr, %w, %p, %p) {ATTEND}
return %a, %b
""",
        [
            "linear: l -> %l", "linear: m -> %m", "view: mh -> %mh", "linear: n -> %n", "view: nh -> %nh",
            "elementwise: nr -> %nr", "kv_append: k v kh vh mr kr w -> %mr %w", "attend: a -> %a", "attend: b -> %b",
        ],
    ),
    "each layer has an append of its own": (
        f"""\
{QUERIES}%kr = rope(%kh, %p, @f) {{rotary_dim=4}} : f32[seq, 1, 4]
%w = kv_append($s, %kr, %vh, %p, %p) : state
%a = attend(%qh, %w, %p, %p) {ATTEND}
%m = linear(%a, @w4) : f32[seq, 2, 8]
%q2 = slice(%m) {{axis=2, start=0, stop=4}} : f32[seq, 2, 4]
%k2 = slice(%m) {{axis=2, start=4, stop=8}} : f32[seq, 2, 4]
%qr = rope(%q2, %p, @f) {{rotary_dim=4}} : f32[seq, 2, 4]
%k2r = rope(%k2, %p, @f) {{rotary_dim=4}} : f32[seq, 2, 4]
%w2 = kv_append($t, %k2r, %k2, %p, %p) : state
%b = attend(%qr, %w2, %p, %p) {ATTEND.replace("heads=1", "heads=2")}
return %b
""",
        [
            "linear: l -> %l", "kv_append: k v kh vh q kr w -> %q %w", "view: qh -> %qh", "attend: a -> %a",
            "linear: m -> %m", "kv_append: q2 k2 qr k2r w2 -> %qr %w2", "attend: b -> %b",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", APPENDS)
def test_groups_of_appends(name: str) -> None:
    body, expected = APPENDS[name]
    assert shown(planned(APPEND_HEAD + body)) == expected


def test_work_is_not_repeated_without_bound() -> None:
    lines = ["%v0 = exp(%x) : f32[seq, 8]"]
    for i in range(1, 12):
        # Each value is read twice by the next: inlined all the way, the first would be computed 2^11 times.
        lines.append(f"%e{i} = exp(%v{i - 1}) : f32[seq, 8]")
        lines.append(f"%v{i} = mul(%e{i}, %v{i - 1}) : f32[seq, 8]")
    plan = planned("\n".join([*lines, "return %v11\n"]))
    assert 1 < len(plan.kernels) < 12


def test_a_dead_view_is_no_group() -> None:
    plan = planned("""\
%a = silu(%x) : f32[seq, 8]
%h = reshape(%a) {shape=[seq, 2, 4]} : f32[seq, 2, 4]
%b = neg(%h) : f32[seq, 2, 4]
return %b
""")
    assert shown(plan) == ["elementwise: a h b -> %b"]


def lowered(recipe: str) -> Graph:
    return run_passes(llama(), passes(Options(load_recipe(recipe)), 64), verify=True)[0]


def test_a_llama_layer() -> None:
    assert shown(fuse(lowered("w4a16_g32"))) == [
        "row: h x -> %h %x",
        "linear: q_k_v -> %q_k_v",
        "kv_append: q k v qh kh vh qr kr kv0.written -> %qr %kv0.written",
        "attend: a -> %a",
        "view: ar -> %ar",
        "linear: o r0 -> %r0",
        "row: x1 -> %x1",
        "linear: g_u -> %g_u",
        "elementwise: g u gs gu -> %gu",
        "linear: d r1 -> %r1",
        "row: r1.out xf -> %xf",
        "linear: logits -> %logits",
    ]


@pytest.mark.parametrize("recipe", ["fp32", "w8a8_kv8"])
def test_plans_of_a_llama_layer_hold_together(recipe: str) -> None:
    graph = lowered(recipe)
    check_fusion(graph, fuse(graph))
