"""Instructions as bytes and as text."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import INSTRUCTIONS, Instruction, Load, Misc, assemble, crc16, decode

# Bytes and assembly written by hand, lowest byte first. Bytes 2 and 3 are the CRC.
BY_HAND = [
    (
        # opcode 0; wait MISC = bit 4 -> bit 8; release MV = bit 3 -> bit 13; target 2 -> bits 33:32;
        # address 5 -> bit 34; length 3 -> bit 70; rows 1 -> bit 98; vector_line 1 -> bit 146
        "LD wait=MISC release=MV target=vector address=5 length=3 rows=1 vector_line=1",
        {0: 0x00, 1: 0x21, 4: 0x16, 8: 0xC0, 12: 0x04, 18: 0x04},
    ),
    (
        # opcode 1; mode 3 -> bits 33:32; rows 2 -> bit 71; source 0x101 -> bits 142 and 150
        "ST mode=scale rows=2 source=257",
        {0: 0x01, 4: 0x03, 8: 0x80, 17: 0x40, 18: 0x40},
    ),
    (
        # opcode 2; ring 1 -> bit 32; bits 2 -> bit 34; kept 1 -> bit 35; group_steps 2 -> bit 38; steps 4 -> bit 51;
        # tiles 1 -> bit 69; rows 8 -> bit 92; token_scaled -> bit 182
        "MM ring=kv bits=b4 kept=n8 group_steps=2 steps=4 tiles=1 rows=8 token_scaled=1",
        {0: 0x02, 4: 0x4D, 6: 0x08, 8: 0x20, 11: 0x10, 22: 0x40},
    ),
    (
        # opcode 3; bits 3 -> bits 34:33; steps_reg 3 -> bits 66:65; tiles_reg 2 -> bit 86; rows 1 -> bit 89;
        # destination 16 -> bit 187
        "MV ring=weights bits=b8 kept=dense steps_reg=3 tiles_reg=2 rows=1 destination=16",
        {0: 0x03, 4: 0x06, 8: 0x06, 10: 0x40, 11: 0x02, 23: 0x08},
    ),
    (
        # opcode 4; function 1 -> bit 32; rows 1 -> bit 35; columns 8 -> bit 48; causal -> bit 85; b_kind 1 -> bit 142;
        # immediate0 1.0 = 3F800000 at bit 284; reduction 1 -> bit 348; output 1 -> bit 375
        "MISC function=exp rows=1 columns=8 causal=1 b_kind=immediate0 c_kind=none d_kind=none immediate0=1.0"
        " reduction=sum output=vector",
        {0: 0x04, 4: 0x09, 6: 0x01, 10: 0x20, 17: 0x40, 38: 0xF8, 39: 0x03, 43: 0x10, 46: 0x80},
    ),
    (
        # opcode 5; wait MISC and SYS -> bits 8 and 9; operation 2 -> bit 33; base 1 -> bit 35; lines 3 -> bits 86:85
        "SYS wait=MISC+SYS operation=exchange base=1 rows=1 lines=3",
        {0: 0x05, 1: 0x03, 4: 0x0A, 6: 0x80, 10: 0x60},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values"), BY_HAND, ids=[text.split()[0] for text, _ in BY_HAND])
def test_bytes_written_by_hand(text: str, values: dict[int, int]) -> None:
    data = bytearray(64)
    for index, value in values.items():
        data[index] = value
    data[2:4] = crc16(bytes(data)).to_bytes(2, "little")
    instruction = assemble(text)
    assert instruction.encode().hex(" ") == bytes(data).hex(" ")
    assert decode(bytes(data)) == instruction
    assert " ".join(word for word in instruction.assembly().split() if not word.endswith("=none")) == " ".join(
        word for word in text.split() if not word.endswith("=none")
    )


def test_the_crc_is_the_published_one() -> None:
    assert crc16(b"123456789") == 0x29B1


@st.composite
def _instructions(draw: st.DrawFn) -> Instruction:
    kind = draw(st.sampled_from(INSTRUCTIONS))
    values: dict[str, int | float] = {}
    for item in fields(kind):
        spec = item.metadata["bits"]
        if spec.is_float:
            values[item.name] = draw(st.floats(width=32, allow_nan=False))
        elif spec.choices is not None:
            values[item.name] = draw(st.sampled_from(list(spec.choices)))
        else:
            values[item.name] = draw(st.integers(0, (1 << spec.width) - 1))
    return kind(**values)  # type: ignore[arg-type]  # drawn from the class's own fields


@given(_instructions())
def test_bytes_and_text_come_back(instruction: Instruction) -> None:
    assert decode(instruction.encode()) == instruction
    assert assemble(instruction.assembly()).encode() == instruction.encode()


@given(_instructions(), st.integers(0, 511))
def test_a_flipped_bit_is_found(instruction: Instruction, bit: int) -> None:
    data = np.frombuffer(instruction.encode(), np.uint8).copy()
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProgramError):
        decode(data.tobytes())


def _sealed(value: int) -> bytes:
    """64 bytes with the CRC that belongs to them."""
    return (value | crc16(value.to_bytes(64, "little")) << 16).to_bytes(64, "little")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0" * 63, "an instruction has 64 bytes, found 63"),
        (b"\0" * 64, r"instruction CRC is 0x0000, its bits give 0x[0-9a-f]{4}: the program is corrupt"),
        (_sealed(6), "opcode 6 does not exist; opcodes: 0 LD, 1 ST, 2 MM, 3 MV, 4 MISC, 5 SYS"),
        (_sealed(0 | 3 << 32), r"LD\.target has \['WEIGHTS', 'KV', 'VECTOR'\], found code 3"),
        (_sealed(5 | 1 << 511), "reserved bits are set in: SYS operation=nothing"),
    ],
)
def test_bytes_that_are_no_instruction(data: bytes, text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        decode(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one of LD, ST, MM, MV, MISC, SYS first, found ''"),
        ("ADD a=1", "expected one of LD, ST, MM, MV, MISC, SYS first, found 'ADD a=1'"),
        ("SYS speed=1", "SYS has fields wait, release, operation, base, rows, row_stride, lines, found 'speed=1'"),
        ("SYS rows", "SYS has fields .*, found 'rows'"),
        ("SYS rows=many", r"SYS\.rows: 'many' is not a value of this field \(runs\)"),
        ("SYS wait=ALU", r"SYS\.wait: 'ALU' is not a value of this field \(classes whose token is taken"),
        ("SYS operation=halt", r"SYS\.operation: 'halt' is not a value of this field \(operation\)"),
        ("MISC immediate0=x", r"MISC\.immediate0: 'x' is not a value of this field \(immediate 0\)"),
    ],
)
def test_text_that_is_no_instruction(text: str, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        assemble(text)


def test_a_value_too_large_for_its_field_is_named() -> None:
    text = r"LD\.rows holds 16 bits \(0\.\.65535\), found 65536; in: LD target=weights rows=65536"
    with pytest.raises(ProgramError, match=text):
        Load(rows=65536).encode()
    with pytest.raises(ProgramError, match=r"MISC\.columns holds 16 bits \(0\.\.65535\), found -1"):
        Misc(columns=-1).encode()
