"""The instruction set: one file per class, each field declared once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cosyn.accelerator_model.config import INSTRUCTION_BYTES
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa.instruction import (
    CRC_BITS,
    CRC_POSITION,
    MASK_BITS,
    OPCODE_BITS,
    Instruction,
    bits_float,
    crc16,
    mask,
)
from cosyn.accelerator_model.isa.ld import Load, LoadTarget
from cosyn.accelerator_model.isa.matrix import (
    Kept,
    MatrixInstruction,
    MatrixMatrix,
    MatrixVector,
    Ring,
    WeightBits,
)
from cosyn.accelerator_model.isa.misc import Function, Misc, Operand, Output, Reduction
from cosyn.accelerator_model.isa.opcode import Opcode, PatternRegister, Register, Registers, register_name
from cosyn.accelerator_model.isa.st import Store, StoreMode
from cosyn.accelerator_model.isa.sys import System, SystemOperation

INSTRUCTIONS: tuple[type[Instruction], ...] = (Load, Store, MatrixMatrix, MatrixVector, Misc, System)
"""Every instruction class, in the order of its opcode."""


def decode(data: bytes) -> Instruction:
    """The instruction of 64 bytes; ProgramError for a wrong size, opcode, CRC, choice or a set reserved bit."""
    if len(data) != INSTRUCTION_BYTES:
        raise ProgramError(f"an instruction has {INSTRUCTION_BYTES} bytes, found {len(data)}")
    value = int.from_bytes(data, "little")
    crc = value >> CRC_POSITION & ((1 << CRC_BITS) - 1)
    clean = value & ~(((1 << CRC_BITS) - 1) << CRC_POSITION)
    expected = crc16(clean.to_bytes(INSTRUCTION_BYTES, "little"))
    if crc != expected:
        raise ProgramError(f"instruction CRC is {crc:#06x}, its bits give {expected:#06x}: the program is corrupt")
    opcode = value & ((1 << OPCODE_BITS) - 1)
    if opcode >= len(INSTRUCTIONS):
        raise ProgramError(f"opcode {opcode} does not exist; opcodes: {', '.join(f'{o} {o.name}' for o in Opcode)}")
    kind = INSTRUCTIONS[opcode]
    limit = (1 << MASK_BITS) - 1
    found: dict[str, Any] = {
        "wait": value >> OPCODE_BITS & limit,
        "release": value >> (OPCODE_BITS + MASK_BITS) & limit,
    }
    for name, low, spec in kind.layout():
        raw = value >> low & ((1 << spec.width) - 1)
        if spec.choices is not None and raw not in list(spec.choices):
            raise ProgramError(f"{kind.opcode.name}.{name} has {[c.name for c in spec.choices]}, found code {raw}")
        found[name] = bits_float(raw) if spec.is_float else raw
    instruction = kind(**found)
    if instruction.encode() != data:
        raise ProgramError(f"reserved bits are set in: {instruction.assembly()}")
    return instruction


def assemble(text: str) -> Instruction:
    """The instruction whose `assembly()` is `text`; ProgramError names the word that is not understood."""
    words = text.split()
    kinds = {kind.opcode.name: kind for kind in INSTRUCTIONS}
    if not words or words[0] not in kinds:
        raise ProgramError(f"expected one of {', '.join(kinds)} first, found {text!r}")
    kind = kinds[words[0]]
    specs = {item.name: item.metadata["bits"] for item in fields(kind)}
    found: dict[str, Any] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not equals or name not in specs:
            raise ProgramError(f"{kind.opcode.name} has fields {', '.join(specs)}, found {word!r}")
        found[name] = _value(kind, name, value)
    return kind(**found)


def _value(kind: type[Instruction], name: str, text: str) -> int | float:
    spec = {item.name: item.metadata["bits"] for item in fields(kind)}[name]
    try:
        if name in ("wait", "release"):
            return mask(*(Opcode[part] for part in text.split("+")))
        if spec.choices is not None:
            return int(spec.choices[text.upper()])
        return float(text) if spec.is_float else int(text)
    except (KeyError, ValueError) as error:
        raise ProgramError(f"{kind.opcode.name}.{name}: {text!r} is not a value of this field ({spec.doc})") from error


__all__ = [
    "INSTRUCTIONS",
    "Function",
    "Instruction",
    "Kept",
    "Load",
    "LoadTarget",
    "MatrixInstruction",
    "MatrixMatrix",
    "MatrixVector",
    "Misc",
    "Opcode",
    "Operand",
    "Output",
    "PatternRegister",
    "Reduction",
    "Register",
    "Registers",
    "Ring",
    "Store",
    "StoreMode",
    "System",
    "SystemOperation",
    "WeightBits",
    "assemble",
    "crc16",
    "decode",
    "mask",
    "register_name",
]
