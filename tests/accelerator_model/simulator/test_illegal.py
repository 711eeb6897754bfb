"""Instructions that are not legal: each text names the place, the field and the limit."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import (
    Instruction,
    Kept,
    Load,
    LoadTarget,
    MatrixMatrix,
    MatrixVector,
    Misc,
    Operand,
    Output,
    Reduction,
    Register,
    Ring,
    Store,
    StoreMode,
    System,
    SystemOperation,
    WeightBits,
)
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program
from cosyn.accelerator_model.simulator import Machine
from tests.accelerator_model.simulator.programs import DONE

TINY = load_config("tiny")
DENSE4 = replace(TINY, kept=(), weight_bits=(4,), lanes=4)
MV = MatrixVector(bits=WeightBits.B8, steps=1, tiles=1, row_lines=1)
MM = MatrixMatrix(bits=WeightBits.B8, steps=1, tiles=1, row_lines=1)


def _run(instruction: Instruction, config=TINY, registers: dict[Register, int] | None = None) -> None:
    program = Program(1, (CoreProgram((instruction, DONE), ("layers.0.q", "")),))
    image = MemoryImage(config.stripe_bytes, np.zeros((100, config.stripe_bytes), np.uint8))
    Machine(config, [image]).run(program, registers or {}, values=False)


CASES: list[tuple[Instruction, str]] = [
    (Load(length=0), "LD moves nothing: rows 1, length 0"),
    (Load(address=90, length=11), "LD.address: the stripe reaches 100, the last one is 99"),
    (Load(length=10, rows=3, row_stride=60), "LD.address: the stripe reaches 129, the last one is 99"),
    (
        Load(target=LoadTarget.VECTOR, length=3, vector_line=8188),
        "LD.vector_line: the vector line reaches 8193, the last one is 8191",
    ),
    (Store(length=0), "ST stores nothing: rows 1, length 0"),
    (Store(length=2, address=99), "ST.address: the stripe reaches 100, the last one is 99"),
    (Store(length=1, source=8191), "ST.source: the vector line reaches 8192, the last one is 8191"),
    (
        Store(mode=StoreMode.SCALE, source=8192 * 4 - 1, rows=2),
        "ST.source: the vector word reaches 32768, the last one is 32767",
    ),
    (
        Store(mode=StoreMode.KEY, length=16, source=511, rows=1),
        "ST.source: the activation line reaches 512, the last one is 511",
    ),
    (replace(MV, steps=0), "MV.steps must be at least 1"),
    (replace(MV, tiles=0), "MV.tiles must be at least 1"),
    (replace(MV, rows=2), "MV.rows must be 1, found 2"),
    (replace(MV, bits=WeightBits.B2), "MV.steps 1 must be a multiple of 2 for this stream"),
    (replace(MV, bits=WeightBits.B3, steps=2), "MV.steps 2 must be a multiple of 4 for this stream"),
    (replace(MV, kept=Kept.N8), "MV.steps 1 must be a multiple of 2 for this stream"),
    (
        replace(MV, bits=WeightBits.B3, kept=Kept.N8, steps=4),
        "MV.bits: 3-bit weights are never sparse, MV.kept is 8 of 16",
    ),
    (replace(MV, group_steps=4), "MV.group_steps must be 0 for 8-bit weights, found 4"),
    (replace(MV, activation_line=512), "MV.activation_line: the activation line reaches 512, the last one is 511"),
    (replace(MV, tiles=3, destination=8190), "MV.destination: the vector line reaches 8195, the last one is 8191"),
    (
        replace(MV, column_scaled=1, column_scale=8191),
        "MV.column_scale: the vector line reaches 8192, the last one is 8191",
    ),
    (
        replace(MV, token_scaled=1, token_scale=32768),
        "MV.token_scale: the vector word reaches 32768, the last one is 32767",
    ),
    (replace(MM, row=1), "MM.row 1 must be a multiple of the token group 2"),
    (
        replace(MM, rows=4, steps=600, row_lines=80),
        "MM.steps: a tile of 600 steps has 1200 words and is read once per 2 of 4 rows,"
        " but the WEIGHTS ring holds 1024",
    ),
    (
        replace(MM, rows=4, steps=600, row_lines=80, ring=Ring.KV),
        "MM.steps: a tile of 600 steps has 1200 words and is read once per 2 of 4 rows, but the KV ring holds 1024",
    ),
    (replace(MM, rows=4, steps=9), "MM.row_lines 1 hold 64 bytes of a row, 9 steps read 72"),
    (Misc(columns=0, output=Output.VECTOR), "MISC handles nothing: rows 1, columns 0"),
    (Misc(columns=6, output=Output.VECTOR), "MISC.columns 6 must be a multiple of the 4 lanes"),
    (Misc(columns=8), "MISC.output and MISC.reduction are both none: the pass has no effect"),
    (
        Misc(columns=8, a=8191, output=Output.VECTOR),
        "MISC.a: the vector line reaches 8192, the last one is 8191",
    ),
    (
        Misc(
            columns=8,
            b_kind=Operand.ROW,
            b=32767,
            rows=2,
            a_stride=2,
            output=Output.VECTOR,
            destination=10,
            destination_stride=2,
        ),
        "MISC.b: the vector word reaches 32768, the last one is 32767",
    ),
    (
        Misc(columns=8, reduction=Reduction.SUM, reduce_to=32768),
        "MISC.reduce_to: the vector word reaches 32768, the last one is 32767",
    ),
    (
        Misc(columns=8, output=Output.VECTOR, destination=8191),
        "MISC.destination: the vector line reaches 8192, the last one is 8191",
    ),
    (
        Misc(columns=8, rows=3, output=Output.ACTIVATION, destination=511, destination_stride=1),
        "MISC.destination: the activation line reaches 512, the last one is 511",
    ),
    (
        System(operation=SystemOperation.EXCHANGE, rows=1),
        "SYS exchanges nothing: rows 1, lines 0",
    ),
    (
        System(operation=SystemOperation.EXCHANGE, rows=1, lines=2, base=8191),
        "SYS.base: the vector line reaches 8192, the last one is 8191",
    ),
]


@pytest.mark.parametrize(("instruction", "text"), CASES, ids=[text[:40] for _, text in CASES])
def test_an_illegal_instruction_is_named(instruction: Instruction, text: str) -> None:
    expected = f"core 0, instruction 0 (layers.0.q): {text}; in: {instruction.assembly()}"
    with pytest.raises(ProgramError, match=f"^{re.escape(expected)}$"):
        _run(instruction)


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        (MV, "MV.bits is 8, the configuration has [4]"),
        (replace(MV, bits=WeightBits.B4, kept=Kept.N8, steps=2), "MV.kept is 8 of 16, the configuration has []"),
    ],
)
def test_what_a_configuration_lacks_is_named(instruction: Instruction, text: str) -> None:
    with pytest.raises(ProgramError, match=re.escape(text)):
        _run(instruction, DENSE4)


def test_lengths_from_registers_are_checked_too() -> None:
    load = Load(length=10, length_reg=Register.SCALE_STRIPES)
    with pytest.raises(ProgramError, match=r"LD\.address: the stripe reaches 109, the last one is 99"):
        _run(load, registers={Register.SCALE_STRIPES: 11})


def test_a_program_for_other_cores_or_without_an_end_is_refused() -> None:
    image = MemoryImage(TINY.stripe_bytes, np.zeros((4, TINY.stripe_bytes), np.uint8))
    machine = Machine(TINY, [image])
    done = CoreProgram((DONE,), ("",))
    with pytest.raises(ProgramError, match="tiny has 1 cores, the program is for 2: compile it again"):
        machine.run(Program(1, (done, done)), {})
    barrier = CoreProgram((System(operation=SystemOperation.BARRIER),), ("",))
    with pytest.raises(ProgramError, match="core 0: the last instruction, and no other, must be SYS done; found it at"):
        machine.run(Program(1, (barrier,)), {})
    with pytest.raises(ProgramError, match="tiny has 1 cores, found 2 memory images"):
        Machine(TINY, [image, image])
    with pytest.raises(ProgramError, match="register VALID cannot hold -1"):
        machine.run(Program(1, (done,)), {Register.VALID: -1})
    with pytest.raises(ProgramError, match=r"a memory image of tiny is uint8 \[stripes, 32\], found uint8 \[4, 64\]"):
        Machine(TINY, [MemoryImage(64, np.zeros((4, 64), np.uint8))])
