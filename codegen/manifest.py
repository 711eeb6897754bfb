"""What manifest.json and program.json say of a program: the writer's side of the artifact format."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from cosyn.codegen.program import Argument, Launch, Program
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.runtime.tensor_file import TensorSpec

FORMAT = "cosyn-artifact/1"


def program_manifest(program: Program, specs: list[TensorSpec]) -> dict[str, object]:
    """The parts of the manifest that follow from the program: arena, entry points, states, weights, traffic."""
    return {
        "format": FORMAT,
        "cosyn_version": version("cosyn"),
        "arena": {
            "bytes": program.memory.arena_bytes,
            "lower_bound_bytes": program.memory.lower_bound_bytes,
        },
        "entry_points": [
            {"name": e.name, "max_seq": e.max_seq, "max_out": e.max_out, "kernels": len(e.launches)}
            for e in program.entry_points
        ],
        "states": [
            {
                "name": s.name, "n_kv_heads": s.n_kv_heads, "head_dim": s.head_dim, "v_dim": s.v_dim,
                "dtype": s.dtype.value, "window": s.window, "sinks": s.sinks,
            }
            for s in program.graph.states
        ],
        "weights": [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype} for s in specs],
        "bytes_per_token": {
            "weights": weight_bytes_per_token(program, specs),
            "kv_per_position": sum(s.bytes_per_token for s in program.graph.states),
        },
    }  # fmt: skip


def program_json(program: Program) -> dict[str, object]:
    """The launch list, for tools that step through it and for people who read it."""
    return {
        "logits": program.output,
        "offsets": {ref: program.memory.offset(ref) for ref in program.memory.buffers},
        "entry_points": {e.name: [_launch(launch) for launch in e.launches] for e in program.entry_points},
    }


def _launch(launch: Launch) -> dict[str, object]:
    return {
        "group": launch.group,
        "kernel": launch.kernel,
        "arguments": [str(a) for a in launch.arguments],
        "results": list(launch.results),
        "layer": launch.layer,
    }


def weight_bytes_per_token(program: Program, specs: list[TensorSpec]) -> int:
    """Weight bytes that one decode step of one token reads: of a table one row, of experts those chosen."""
    nbytes = {s.name: s.nbytes for s in specs}
    nodes = {g.name: [program.graph.producers[n] for n in g.nodes] for g in program.fusion.groups}
    decode = min(program.entry_points, key=lambda e: e.max_seq)
    return sum(
        round(nbytes[str(a)] * _share(program.graph, nodes[launch.group], a))
        for launch in decode.launches
        for a in launch.arguments
        if a.ref.startswith("@")
    )


def _share(graph: Graph, nodes: Sequence[Node], argument: Argument) -> float:
    """The part of a weight that one token needs of it in the kernel made of `nodes`."""
    rows = graph.types[argument.ref].shape[0]
    for node in nodes:
        if argument.ref not in node.operands:
            continue
        if node.op == "embedding":
            return 1 / int(rows)
        if node.op == "expert_linear":
            return int(graph.types[node.operands[1]].shape[-1]) / int(rows)
    return 1.0
