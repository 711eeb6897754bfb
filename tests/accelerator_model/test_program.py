"""The program container, the memory image and the registers of a step."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Load, LoadTarget, Opcode, Register, System, SystemOperation, mask
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program, registers_for


def _program() -> Program:
    load = Load(target=LoadTarget.VECTOR, address=7, length=3, release=mask(Opcode.SYS))
    done = System(operation=SystemOperation.DONE, wait=mask(Opcode.LD))
    return Program(2, (CoreProgram((load, done), ("n1: x", "end")), CoreProgram((done,), ("end",))))


def test_a_program_comes_back_from_its_bytes() -> None:
    program = _program()
    assert Program.from_bytes(program.to_bytes()) == program
    assert program.size == 3 * 64
    assert CoreProgram.from_bytes(program.cores[0].to_bytes()).instructions == program.cores[0].instructions


def test_a_flipped_bit_is_found_and_its_instruction_named() -> None:
    data = bytearray(_program().to_bytes())
    data[-100] ^= 4
    with pytest.raises(ProgramError, match=r"instruction 1: instruction CRC is"):
        Program.from_bytes(bytes(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nonsense", "not a program"),
        (_program().to_bytes()[:-64], "declares 3 instructions of 64 bytes, found 128 bytes"),
        (_program().to_bytes().replace(b"tokens", b"tokenz"), "header is corrupt"),
    ],
)
def test_corrupt_containers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        Program.from_bytes(data)


def test_channels_are_columns_of_the_stripes() -> None:
    image = MemoryImage(96, np.arange(2 * 96, dtype=np.uint8).reshape(2, 96))
    assert image.channel(1, 32).tolist() == [*range(32, 64), *range(128, 160)]
    with pytest.raises(ProgramError, match=r"\[count, 96\], found uint8 \[2, 32\]"):
        MemoryImage(96, np.zeros((2, 32), np.uint8))


def test_registers_of_a_step() -> None:
    found = registers_for(load_config("odd"), 250, 4, 2)  # 12 columns and 16 rows a tile, stripes of 24 words
    assert {register.name: value for register, value in found.items()} == {
        "VALID": 251,
        "KEY_TILES": 22,  # 254 / 12
        "VALUE_STEPS": 16,  # 254 / 16
        "SCORE_COLUMNS": 264,
        "ROPE_OFFSET": 500,
        "KEY_TILE": 20,
        "KEY_COLUMN": 10,
        "VALUE_STEP": 15,
        "VALUE_LANE": 10,
        "SCALE_STRIPE": 10,
        "SCALE_WORD": 10,
        "SCALE_STRIPES": 11,
    }
    assert Register.ZERO not in found
