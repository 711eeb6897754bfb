"""What every instruction shares: its header, its encoding to 64 bytes, and its assembler text."""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar

from cosyn.accelerator_model.config import INSTRUCTION_BYTES
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa.field import Field, field
from cosyn.accelerator_model.isa.opcode import Opcode

OPCODE_BITS = 4
MASK_BITS = 6
CRC_BITS = 16
HEADER_BITS = OPCODE_BITS + 2 * MASK_BITS + CRC_BITS
CRC_POSITION = OPCODE_BITS + 2 * MASK_BITS


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, most significant bit first."""
    return crc_hqx(data, 0xFFFF)


def float_bits(value: float) -> int:
    """The 32 bits of `value` as a float32."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def bits_float(value: int) -> float:
    """The float32 of those 32 bits."""
    return float(struct.unpack("<f", struct.pack("<I", value))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction: subclasses declare their fields, in order of their bits after the 32-bit header.

    Header, from bit 0: opcode 4, wait mask 6, release mask 6, CRC-16 of the instruction with the CRC zero. Bit i
    of `wait` takes one token from class i (see `Opcode`) before the instruction starts; bit i of `release` gives
    one to class i when it retires.
    """

    opcode: ClassVar[Opcode]

    wait: int = field(MASK_BITS, "classes whose token is taken before the start")
    release: int = field(MASK_BITS, "classes that get a token at retirement")

    @classmethod
    def layout(cls) -> Iterator[tuple[str, int, Field]]:
        """Name, lowest bit and description of every field after the header."""
        low = HEADER_BITS
        for item in fields(cls):
            if item.name in ("wait", "release"):
                continue
            spec: Field = item.metadata["bits"]
            yield item.name, low, spec
            low += spec.width
        if low > 8 * INSTRUCTION_BYTES:
            raise TypeError(f"{cls.__name__} needs {low} bits; an instruction has {8 * INSTRUCTION_BYTES}")

    def encode(self) -> bytes:
        """The 64 bytes, little-endian; ProgramError names a value that does not fit its field."""
        value = int(self.opcode)
        value |= _fit(self, "wait", self.wait, MASK_BITS) << OPCODE_BITS
        value |= _fit(self, "release", self.release, MASK_BITS) << (OPCODE_BITS + MASK_BITS)
        for name, low, spec in self.layout():
            raw = getattr(self, name)
            number = float_bits(raw) if spec.is_float else int(raw)
            value |= _fit(self, name, number, spec.width) << low
        crc = crc16(value.to_bytes(INSTRUCTION_BYTES, "little"))
        return (value | crc << CRC_POSITION).to_bytes(INSTRUCTION_BYTES, "little")

    def assembly(self) -> str:
        """One line: the class, its masks, and every field that is not zero or would not be zero if left out."""
        defaults = {item.name: item.default for item in fields(self)}
        parts = [self.opcode.name]
        parts += [f"{name}={_mask_text(getattr(self, name))}" for name in ("wait", "release") if getattr(self, name)]
        for name, _, spec in self.layout():
            value = getattr(self, name)
            if spec.choices is not None:
                parts.append(f"{name}={spec.choices(value).name.lower()}")
            elif spec.is_float:
                # The sign of a zero counts too.
                parts += [f"{name}={value!r}"] * bool(float_bits(value))
            elif value or defaults[name]:
                parts.append(f"{name}={int(value)}")
        return " ".join(parts)


def _fit(instruction: Instruction, name: str, value: int, width: int) -> int:
    if 0 <= value < 1 << width:
        return value
    raise ProgramError(
        f"{instruction.opcode.name}.{name} holds {width} bits (0..{(1 << width) - 1}), found {value};"
        f" in: {instruction.assembly()}"
    )


def _mask_text(mask: int) -> str:
    return "+".join(op.name for op in Opcode if mask >> op & 1)


def mask(*classes: Opcode) -> int:
    """The wait or release mask of those classes."""
    return sum({1 << op for op in classes})


def choice(value: int, choices: type[IntEnum]) -> IntEnum:
    """The member of `choices` with that value; ProgramError lists them."""
    try:
        return choices(value)
    except ValueError as error:
        raise ProgramError(f"{choices.__name__} has {[c.name for c in choices]}, found {value}") from error
