"""`cosyn inspect`: the graph, its costs, its kernels and its memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosyn.commands.compile import make_request
from cosyn.commands.options import Json, Quiet, Verbose, examples
from cosyn.commands.tune import choice_text
from cosyn.console import Console, table
from cosyn.errors import CommandError

if TYPE_CHECKING:
    from cosyn.inspection import Inspection, OpCost, StoredMatrix

EXAMPLES = examples(
    ("a summary of what a model becomes", "cosyn inspect ./TinyLlama --recipe w4a16_g32"),
    ("operations and bytes of one decoded token after 1000 others",
     "cosyn inspect ./TinyLlama --costs --tokens 1 --context 1000"),
    ("the accelerator's program for one decoded token, with the node of each instruction",
     "cosyn inspect out --program"),
    ("the memory plan of an artifact as a picture", "cosyn inspect out --memory --picture plan.svg"),
)  # fmt: skip


def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL|DIR", help="As in `compile`, or an artifact.", show_default=False),
    ],
    ir: Annotated[bool, typer.Option("--ir", help="The graph after all passes, as text.")] = False,
    costs: Annotated[bool, typer.Option("--costs", help="Operations and bytes by op.")] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="How each matrix is stored, and how many of 16 weights it keeps.")
    ] = False,
    groups: Annotated[bool, typer.Option("--groups", help="What becomes one kernel.")] = False,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="For an artifact: which kernel serves which shape and tokens.")
    ] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Where each value lies in the arena.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Draw the memory plan and, as FILE-graph, the graph: .svg or .png.",
        ),
    ] = None,
    program: Annotated[
        bool,
        typer.Option("--program", help="For an accelerator's artifact: every instruction with its IR node."),
    ] = False,
    core: Annotated[int, typer.Option("--core", min=0, help="With --program: of this core.")] = 0,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="For a MODEL: as in `compile`.")] = None,
    max_seq: Annotated[int | None, typer.Option("--max-seq", min=1, help="For a MODEL: as in `compile`.")] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Tokens of the step that is costed.")] = 1,
    context: Annotated[int, typer.Option("--context", min=0, help="Tokens cached before that step.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Show what MODEL becomes, or what the artifact DIR was made from. Runs nothing."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if program:
        from cosyn.program_listing import program_data, program_lines, read_program

        listed = read_program(Path(model), tokens, core, context)
        console.result(program_data(listed, core), program_lines(listed, core))
        return
    found = _inspect(console, model, recipe, max_seq)
    from cosyn import inspection

    rows = inspection.costs(found.graph, tokens, context)
    data = _summary(found, rows)
    lines = list(_summary_lines(found, rows, tokens, context))
    if ir:
        data["ir"] = str(found.graph)
        lines += ["", str(found.graph)]
    if costs:
        data["costs"] = [asdict(r) for r in rows]
        lines += ["", *_cost_lines(rows)]
    if weights:
        stored = inspection.stored_matrices(found.graph)
        data["matrices"] = [asdict(m) for m in stored]
        lines += ["", *_weight_lines(stored)]
    if groups:
        data["groups"] = [asdict(g) for g in found.fusion.groups]
        lines += ["", *table(("GROUP", "KIND", "NODES"), [(g.name, g.kind, " ".join(g.nodes))
                                                         for g in found.fusion.groups])]  # fmt: skip
    if kernels:
        served = inspection.artifact_kernels(Path(model))
        data["served_kernels"] = served
        lines += ["", *_kernel_lines(served)]
    if memory:
        data["buffers"] = {ref: asdict(b) for ref, b in found.memory.buffers.items()}
        lines += ["", *_memory_lines(found)]
    if picture is not None:
        drawn = _draw(found, picture)
        data["pictures"] = [str(p) for p in drawn]
        lines += ["", *(f"drew {p}" for p in drawn)]
    console.result(data, lines)


def _inspect(console: Console, model: str, recipe: str | None, max_seq: int | None) -> Inspection:
    if (Path(model) / "manifest.json").is_file():
        from cosyn.inspection import inspect_artifact

        return inspect_artifact(Path(model))
    # Nothing here depends on the target or is written to the output.
    request = make_request(console, model, "cpu", recipe, Path(), max_seq=max_seq)
    from cosyn.inspection import inspect_model

    with console.steps() as progress:
        return inspect_model(request, progress)


def _draw(found: Inspection, file: Path) -> list[Path]:
    """The memory plan at `file`, the graph beside it."""
    from cosyn.pictures import draw_graph, draw_memory

    if file.suffix not in (".svg", ".png"):
        raise CommandError(f"cannot draw {file.name}", "give a name that ends in .svg or .png")
    graph_file = file.with_name(f"{file.stem}-graph{file.suffix}")
    draw_memory(found.memory, file)
    draw_graph(found.graph, found.fusion, graph_file)
    return [file, graph_file]


def _summary(found: Inspection, rows: list[OpCost]) -> dict[str, object]:
    return {
        "name": found.graph.name,
        "nodes": len(found.graph.nodes),
        "constants": len(found.graph.constants),
        "groups_count": len(found.fusion.groups),
        "kernels": sum(g.kind != "view" for g in found.fusion.groups),
        "states": len(found.graph.states),
        "weight_bytes": found.weight_bytes,
        "kv_bytes_per_position": found.kv_bytes_per_position,
        "arena_bytes": found.memory.arena_bytes,
        "arena_lower_bound_bytes": found.memory.lower_bound_bytes,
        "step_ops": sum(r.ops for r in rows),
        "step_bytes": sum(r.read_bytes + r.written_bytes for r in rows),
    }


def _summary_lines(found: Inspection, rows: list[OpCost], tokens: int, context: int) -> Iterator[str]:
    graph, memory = found.graph, found.memory
    kernels = sum(g.kind != "view" for g in found.fusion.groups)
    yield f"{graph.name}: {len(graph.nodes)} nodes in {kernels} kernels, {len(graph.states)} KV caches"
    yield f"weights {megabytes(found.weight_bytes)}; KV cache {found.kv_bytes_per_position} B per position"
    ratio = memory.arena_bytes / memory.lower_bound_bytes if memory.lower_bound_bytes else 1.0
    yield f"arena {megabytes(memory.arena_bytes)}, {ratio:.3f} of the liveness lower bound"
    moved = sum(r.read_bytes + r.written_bytes for r in rows)
    work = sum(r.ops for r in rows)
    yield from (f"note: {note}" for note in found.notes)
    yield f"a step of {tokens} after {context}: {work / 1e6:.2f} M operations, {megabytes(moved)} moved"


def _cost_lines(rows: list[OpCost]) -> list[str]:
    cells = [(r.op, str(r.count), f"{r.ops:,}", f"{r.read_bytes:,}", f"{r.written_bytes:,}") for r in rows]
    return table(("OP", "NODES", "OPERATIONS", "BYTES READ", "BYTES WRITTEN"), cells)


def _weight_lines(stored: list[StoredMatrix]) -> list[str]:
    cells = [(m.ref, "x".join(map(str, m.shape)), m.format, f"{m.kept} of 16", f"{m.nbytes:,}") for m in stored]
    lines = table(("MATRIX", "SHAPE", "FORMAT", "KEPT", "BYTES"), cells)
    total = sum(math.prod(m.shape) for m in stored)
    if total:
        share = sum(math.prod(m.shape) * m.kept for m in stored) / (16 * total)
        lines.append(f"kept: {share:.1%} of {total:,} weights")
    return lines


def _kernel_lines(served: list[dict[str, Any]]) -> list[str]:
    cells = [
        (
            k["kernel"], f"{k['n']}x{k['k']}" if "n" in k else "", k.get("weight", ""),
            "..".join(dict.fromkeys(map(str, k["rows"]))), k["form"], str(k["launches"]),
            choice_text(k.get("choice", {})) if "n" in k else "",
        )
        for k in served
    ]  # fmt: skip
    return table(("KERNEL", "WEIGHT", "FORMAT", "TOKENS", "FORM", "CALLS", "CHOICE"), cells)


def _memory_lines(found: Inspection) -> list[str]:
    order = sorted(found.memory.buffers.items(), key=lambda item: (item[1].first, item[1].offset))
    cells = [(ref, str(b.offset), str(b.nbytes), f"{b.first}..{b.last}") for ref, b in order]
    return table(("VALUE", "OFFSET", "BYTES", "LIVE IN GROUPS"), cells)


def megabytes(nbytes: int) -> str:
    """Bytes as a reader wants them."""
    return f"{nbytes / 1e6:.2f} MB" if nbytes < 1e9 else f"{nbytes / 1e9:.2f} GB"
