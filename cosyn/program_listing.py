"""An accelerator's program as text: every instruction with its IR node and where that came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cosyn.accelerator_model.program import Program
from cosyn.errors import CommandError
from cosyn.runtime.integrity import check_files
from cosyn.runtime.manifest import read_manifest


def read_program(folder: Path, tokens: int, core: int) -> Program:
    """The program of an artifact for steps of `tokens` tokens, its file checked; CommandError lists those there are."""
    manifest = read_manifest(folder)
    name = f"programs/step_{tokens}.bin"
    there = sorted(
        int(n[len("programs/step_") : -len(".bin")]) for n in manifest.files if n.startswith("programs/step_")
    )
    if not there:
        raise CommandError(f"{folder} holds no accelerator programs", "compile with --target fpga:NAME")
    if tokens not in there:
        steps = ", ".join(map(str, there))
        raise CommandError(f"{folder} has no program for {tokens} tokens", f"give --tokens one of {steps}")
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
