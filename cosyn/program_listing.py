"""An accelerator's program as text: every instruction with its IR node and where that came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cosyn.accelerator_model.program import Program
from cosyn.errors import CommandError
from cosyn.runtime.fpga.description import DESCRIPTION_FILE, read_description
from cosyn.runtime.fpga.registers import span_at
from cosyn.runtime.integrity import check_files
from cosyn.runtime.manifest import read_manifest


def read_program(folder: Path, tokens: int, core: int, position: int = 0) -> Program:
    """The program of an artifact for steps of `tokens` tokens from `position` on, its file checked; CommandError lists
    those there are.
    """
    manifest = read_manifest(folder)
    if DESCRIPTION_FILE not in manifest.files:
        raise CommandError(f"{folder} holds no accelerator programs", "compile with --target fpga:NAME")
    check_files(folder, {DESCRIPTION_FILE: manifest.files[DESCRIPTION_FILE]})
    described = read_description(folder)
    span = span_at(described.geometry.spans, position)
    there = {p.tokens: p.file for p in described.programs if span in p.spans}
    if tokens not in there:
        steps = ", ".join(map(str, sorted(there)))
        where = f" from position {position} on" if len(described.geometry.spans) > 1 else ""
        raise CommandError(f"{folder} has no program for {tokens} tokens{where}", f"give --tokens one of {steps}")
    name = there[tokens]
    check_files(folder, {name: manifest.files[name]})
    program = Program.from_bytes((folder / name).read_bytes())
    if core >= len(program.cores):
        raise CommandError(f"there is no core {core}", f"the program is for {len(program.cores)}, counted from 0")
    return program


def program_lines(program: Program, core: int) -> Iterator[str]:
    """Number, assembler text and node of each instruction, and how many there are of each class."""
    stream = program.cores[core]
    width = len(str(len(stream.instructions)))
    for number, (instruction, node) in enumerate(zip(stream.instructions, stream.nodes, strict=True)):
        yield f"{number:{width}}  {instruction.assembly()}  ; {node}"
    counts = Counter(i.opcode.name for i in stream.instructions)
    classes = ", ".join(f"{n} {name}" for name, n in counts.items())
    yield f"{len(stream.instructions)} instructions of core {core} for {program.tokens} tokens: {classes}"


def program_data(program: Program, core: int) -> dict[str, object]:
    """The listing for `--json`."""
    stream = program.cores[core]
    return {
        "tokens": program.tokens,
        "core": core,
        "bytes": program.size,
        "instructions": [
            {"text": i.assembly(), "node": node} for i, node in zip(stream.instructions, stream.nodes, strict=True)
        ],
    }
