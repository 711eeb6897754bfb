"""The first difference: whatever differs between RTL and simulator, the element and both values are found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.isa import Instruction, Load, LoadTarget, MatrixInstruction, Opcode, Store, StoreMode
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program
from cosyn.accelerator_model.simulator.machine import Machine
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.explain import Difference, explain
from cosyn.rtl_testbench.system.lockstep import Lockstep, LockstepError, Mismatch
from cosyn.rtl_testbench.system.random_programs import STRIPES, RandomProgram, random_program
from cosyn.rtl_testbench.system.runs import load, run

pytestmark = needs_simulator()

CONFIG = load_config("tiny")


@pytest.fixture(scope="module")
def session() -> Iterator[RtlSession]:
    with RtlSession(CONFIG, data_bytes=STRIPES * CONFIG.stripe_bytes) as opened:
        yield opened


@pytest.fixture
def case() -> RandomProgram:
    return random_program(CONFIG, 3)


def _found(
    session: RtlSession, case: RandomProgram, program: Program | None = None, flip: tuple[int, int, int] | None = None
) -> tuple[Mismatch, Difference]:
    """What is said when the RTL runs `program`, or has the bits `flip[2]` of a stripe's byte inverted."""
    lockstep = Lockstep(session, [STRIPES], lambda core, address: case.program.cores[core].nodes)
    load(lockstep, case.program, case.memories, case.registers)
    if program is not None:
        session.load_program(0, 0, program.cores[0].to_bytes())
    if flip is not None:
        stripe, byte, bits = flip
        session.memory(0)[stripe, byte] ^= bits
    with pytest.raises(LockstepError) as caught:
        run(lockstep)
    wrong = caught.value.mismatch
    before, theirs = lockstep.memories_before()
    np.testing.assert_array_equal(before[0], case.memories[0])
    difference = explain(
        CONFIG, lockstep.program, lockstep.registers, before, wrong.core, wrong.opcode, wrong.index,
        waves=False, rtl_program=program, rtl_memories=theirs,
    )  # fmt: skip
    assert (difference.waves, difference.window) == (None, None)
    return wrong, difference


def _changed(case: RandomProgram, index: int, **changes: int) -> Program:
    stream = case.program.cores[0]
    item = replace(stream.instructions[index], **changes)
    instructions = (*stream.instructions[:index], item, *stream.instructions[index + 1 :])
    return Program(1, (CoreProgram(instructions, stream.nodes),))


def _last(case: RandomProgram, kind: type[Instruction], **fields: int) -> int:
    """Index of the last instruction of that kind with those fields."""
    items = case.program.cores[0].instructions
    return max(
        i for i, item in enumerate(items)
        if isinstance(item, kind) and all(getattr(item, name) == value for name, value in fields.items())
    )  # fmt: skip


def test_a_bit_of_memory(session: RtlSession, case: RandomProgram) -> None:
    """A load that brings another value names the byte that it read, though its checksum was not asked for."""
    index = _last(case, Load, target=LoadTarget.VECTOR, checked=0, address_reg=0)
    item = case.program.cores[0].instructions[index]
    assert isinstance(item, Load)
    wrong, difference = _found(session, case, flip=(item.address, 6, 0x81))
    first = case.program.cores[0].instructions[wrong.index]
    assert isinstance(first, Load)
    assert wrong.node == f"random {wrong.index}"
    value = int(case.memories[0][item.address, 6])
    assert difference.text.startswith(
        f"memory stripe {item.address} byte 6: the RTL has {value ^ 0x81:#04x}, expected {value:#04x} (1 of "
    )


def _digests(case: RandomProgram, program: Program) -> dict[int, int]:
    """Digest of each instruction, as simulated."""
    images = [MemoryImage(CONFIG.stripe_bytes, memory.copy()) for memory in case.memories]
    result = Machine(CONFIG, images).run(program, case.registers, timing=False)
    return {retired.index: retired.digest for retired in result.retirements}


def _without_column_scale(case: RandomProgram) -> tuple[int, Program]:
    """A matrix instruction with column scales whose results, which may be all 0, are others without them."""
    expected = _digests(case, case.program)
    for index, item in enumerate(case.program.cores[0].instructions):
        if isinstance(item, MatrixInstruction) and item.column_scaled:
            program = _changed(case, index, column_scaled=0)
            if _digests(case, program)[index] != expected[index]:
                return index, program
    raise AssertionError("no matrix instruction of this program depends on its column scales: take another seed")


def test_a_result_of_the_matrix_engine(session: RtlSession, case: RandomProgram) -> None:
    index, program = _without_column_scale(case)
    wrong, difference = _found(session, case, program)
    assert (wrong.index, wrong.opcode in (Opcode.MM, Opcode.MV)) == (index, True)
    found = re.match(
        r"vector line (\d+) lane \d: the RTL has 0x\w{8} \(\S+\), expected 0x\w{8} \(\S+\) \(\d+ of \d+ elements",
        difference.text,
    )
    assert found is not None, difference.text
    item = case.program.cores[0].instructions[index]
    assert isinstance(item, MatrixInstruction)
    assert item.destination <= int(found[1])


def test_what_a_store_stores(session: RtlSession, case: RandomProgram) -> None:
    """The buffers agree; memory does not."""
    index = _last(case, Store, mode=StoreMode.LINES)
    item = case.program.cores[0].instructions[index]
    assert isinstance(item, Store)
    other = item.source - CONFIG.stripe_bytes // 4 // CONFIG.lanes
    wrong, difference = _found(session, case, _changed(case, index, source=other))
    assert (wrong.index, wrong.opcode) == (index, Opcode.ST)
    found = re.match(
        r"memory stripe (\d+) byte \d+: the RTL has 0x\w\w, expected 0x\w\w \(\d+ of \d+ bytes", difference.text
    )
    assert found is not None, difference.text


def test_what_never_retires(session: RtlSession, case: RandomProgram) -> None:
    index = _last(case, Store, mode=StoreMode.LINES)
    wrong, difference = _found(session, case, _changed(case, index, source=CONFIG.vector_lines, length=1))
    assert (wrong.index, wrong.found) == (index, None)
    assert "ADDRESS_RANGE on core 0, ST" in wrong.reason
    assert difference.text == "it never retired"
