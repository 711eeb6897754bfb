"""Writes docs/isa.md: `python -m cosyn.accelerator_model.isa.documentation > docs/isa.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum

from cosyn.accelerator_model.config import BANK_REGISTERS, INSTRUCTION_BYTES, REGISTER_BANKS
from cosyn.accelerator_model.isa import INSTRUCTIONS, Instruction, Opcode, PatternRegister, Register
from cosyn.accelerator_model.isa.instruction import CRC_BITS, CRC_POSITION, MASK_BITS, OPCODE_BITS
from cosyn.accelerator_model.isa.matrix import MatrixInstruction, MatrixMatrix, MatrixVector

_HEAD = f"""\
# Instructions

Written by `python -m cosyn.accelerator_model.isa.documentation`; a test keeps it current. The declarations are in
`accelerator_model/isa/`: one file per class with its fields, and `*_meaning.py` with what is legal and what it does.

An instruction has {8 * INSTRUCTION_BYTES} bits, little-endian, in a stream per core. There are six classes, each with
an in-order queue and a unit of its own. Dispatch is in program order; a full queue stops it. An instruction starts when
each class in `wait` has given it a token, and takes them; when it retires it gives a token to each class in `release`.

Addresses of memory count stripes (one beat of every channel of a core), addresses of the vector buffer lines (one f32
per lane) or words (one f32: line × lanes + lane), addresses of the activation buffer lines of a bank.

## Header

| bits | field | meaning |
|---|---|---|
| {OPCODE_BITS - 1}:0 | opcode | {", ".join(f"{int(op)} {op.name}" for op in Opcode)} |
| {OPCODE_BITS + MASK_BITS - 1}:{OPCODE_BITS} | wait | bit i: takes a token from class i before the start |
| {CRC_POSITION - 1}:{OPCODE_BITS + MASK_BITS} | release | bit i: gives a token to class i at retirement |
| {CRC_POSITION + CRC_BITS - 1}:{CRC_POSITION} | crc | CRC-16/CCITT-FALSE with this field zero |
"""


def documentation() -> str:
    """The instruction set as one page."""
    parts = [_HEAD]
    shared = False
    for kind in INSTRUCTIONS:
        if issubclass(kind, MatrixInstruction):
            if not shared:
                parts.append(_section("MM and MV", MatrixInstruction, MatrixMatrix, _matrix_note()))
            shared = True
        else:
            parts.append(_section(kind.opcode.name, kind, kind))
    parts.append(_registers())
    return "\n".join(parts)


def _matrix_note() -> str:
    kinds = (MatrixMatrix, MatrixVector)
    return "\n\n".join(f"**{kind.opcode.name}**: {_text(kind).partition(': ')[2]}" for kind in kinds)


def _section(title: str, described: type[Instruction], kind: type[Instruction], note: str = "") -> str:
    lines = [f"## {title}", "", _text(described), ""]
    if note:
        lines += [note, ""]
    lines += ["| bits | field | meaning |", "|---|---|---|"]
    for name, low, spec in kind.layout():
        doc = spec.doc + (" (f32)" if spec.is_float else "")
        if spec.choices is not None:
            doc += f": {', '.join(f'{int(item)} {item.name.lower()}' for item in spec.choices)}"
        bits = f"{low + spec.width - 1}:{low}" if spec.width > 1 else str(low)
        lines.append(f"| {bits} | {name} | {doc} |")
    defaults = [item.name for item in fields(kind) if item.default == 1]
    lines += ["", f"Not given in assembler text: 0; 1 for {', '.join(defaults)}."] if defaults else []
    return "\n".join(lines) + "\n"


def _text(kind: type) -> str:
    """A docstring as paragraphs."""
    paragraphs = (kind.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in paragraphs)


def _registers() -> str:
    lines = [
        "## Registers",
        "",
        f"There are {REGISTER_BANKS} banks of {BANK_REGISTERS}; register r of bank b is number {BANK_REGISTERS} b + r."
        " The host writes them before a step",
        "of m tokens from position pos; all cores see the same. context = pos + m. Bank 0:",
        "",
        *_table(Register),
        "",
        _text(PatternRegister),
        "",
        *_table(PatternRegister),
    ]
    return "\n".join(lines) + "\n"


def _table(kind: type[Register] | type[PatternRegister]) -> Iterator[str]:
    yield from ("| number | register | value |", "|---|---|---|")
    for register, text in _register_texts(kind):
        yield f"| {int(register)} | {register.name} | {text} |"


def _register_texts(kind: type[Register] | type[PatternRegister]) -> Iterator[tuple[IntEnum, str]]:
    """Each register with the text below its declaration, which `enum` does not keep."""
    source = inspect.getsource(kind).splitlines()
    for register in kind:
        start = next(i for i, line in enumerate(source) if line.strip() == f"{register.name} = {int(register)}")
        following = source[start + 1].strip() if start + 1 < len(source) else ""
        yield register, following.strip('"') if following.startswith('"""') else "not used"


if __name__ == "__main__":
    print(documentation(), end="")
