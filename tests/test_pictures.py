"""Pictures of the memory plan and of the kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.graph_layout import layout
from cosyn.ir.graph import Graph
from cosyn.ir.parser import parse
from cosyn.passes.fuse import FusionPlan, fuse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.plan_memory import plan_memory
from cosyn.passes.recipe import load_recipe
from cosyn.pictures import draw_graph, draw_memory
from tests.passes.graphs import llama


def plans() -> tuple[Graph, FusionPlan]:
    graph, _ = run_passes(llama(), passes(Options(load_recipe("w4a16_g32")), 64))
    return graph, fuse(graph)


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_pictures_are_written_and_reproducible(tmp_path: Path, suffix: str, magic: bytes) -> None:
    graph, plan = plans()
    memory = plan_memory(graph, plan)
    written = []
    for name in ("a", "b"):
        files = tmp_path / f"{name}-memory.{suffix}", tmp_path / f"{name}-graph.{suffix}"
        draw_memory(memory, files[0])
        draw_graph(graph, plan, files[1])
        written.append([f.read_bytes() for f in files])
    assert written[0] == written[1]
    assert all(content.startswith(magic) for content in written[0])


def test_the_memory_picture_names_values_and_sizes(tmp_path: Path) -> None:
    graph, plan = plans()
    memory = plan_memory(graph, plan)
    draw_memory(memory, tmp_path / "m.svg")
    text = (tmp_path / "m.svg").read_text()
    assert "%g_u" in text
    assert f"arena {memory.arena_bytes:,} bytes" in text


def test_kernels_are_below_what_they_read() -> None:
    graph, plan = plans()
    drawn = layout(graph, plan)
    assert set(drawn.groups) == {g.name for g in plan.kernels}
    assert drawn.repeats == 1
    for source, target, carried in drawn.edges:
        assert not carried
        assert drawn.positions[source][1] > drawn.positions[target][1]
    assert len(set(drawn.positions.values())) == len(drawn.positions)


def test_repeated_layers_are_drawn_once() -> None:
    layers = 6
    lines = ['graph "deep"', "dim seq in 1..8", "input %x0 : f32[seq, 8]", 'weight @w : f32[8, 8] from "w"',
             "%s = softmax(%x0) : f32[seq, 8]"]  # fmt: skip
    last = "%s"
    for i in range(layers):
        lines += [
            f"%n{i} = rms_norm({last}) {{eps=1e-05}} : f32[seq, 8]",
            f"%l{i} = linear(%n{i}, @w) : f32[seq, 8]",
            f"%r{i} = add({last}, %l{i}) : f32[seq, 8]",
        ]
        last = f"%r{i}"
    graph = parse("\n".join([*lines, f"%y = matmul({last}, @w) : f32[seq, 8]", f"return {last}, %y"]))
    drawn = layout(graph, fuse(graph))
    assert drawn.repeats == layers - 1  # the first norm shares a kernel with what comes before
    assert len(drawn.repeated) == 2
    assert len(drawn.groups) < 8
    assert any(carried for _, _, carried in drawn.edges)
