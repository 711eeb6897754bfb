"""Faults on purpose: each ends in STATUS error with its own code, within the watchdog's time; none hangs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cosyn.accelerator_model.control import CoreRegister, ErrorCode, core_address, global_register
from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    LoadTarget,
    MatrixMatrix,
    MatrixVector,
    Misc,
    Opcode,
    Output,
    Store,
    StoreMode,
)
from cosyn.accelerator_model.isa.digest import fold, rotate_xor
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.lockstep import Lockstep
from cosyn.rtl_testbench.system.random_programs import STRIPES, RandomProgram, random_program
from cosyn.rtl_testbench.system.runs import START, load, run

pytestmark = needs_simulator()

# Hangs are found after this many cycles without a retirement; shorter than the shipped value, so that tests are.
CONFIG = replace(load_config("tiny"), name="tiny-watchdog", watchdog_cycles=5000)
CONTROL, STATUS = global_register("CONTROL"), global_register("STATUS")
PATIENCE = 60_000
"""Cycles within which every fault must be reported."""
TOKENS = "accelerator.gen_core[0].u_core.u_tokens"


@pytest.fixture(scope="module")
def session() -> Iterator[RtlSession]:
    with RtlSession(CONFIG, data_bytes=STRIPES * CONFIG.stripe_bytes, visible=("cosyn_tokens",)) as opened:
        yield opened


@pytest.fixture
def case() -> RandomProgram:
    return random_program(CONFIG, 21)


@pytest.fixture(autouse=True)
def healthy(session: RtlSession) -> Iterator[None]:
    """After each fault: a soft reset alone must bring the accelerator back, and the next program must run."""
    yield
    session.set(fail_read=0, fail_write=0, freeze_reads=0, freeze_writes=0)
    session.write_register(CONTROL.address, 1 << CONTROL.field("SOFT_RESET").low)
    while session.read_register(CONTROL.address) >> CONTROL.field("SOFT_RESET").low & 1:
        session.advance(100)
    good = random_program(CONFIG, 22)
    lockstep = Lockstep(session, [STRIPES])
    load(lockstep, good.program, good.memories, good.registers)
    run(lockstep)


def _load(session: RtlSession, case: RandomProgram, program: Program | None = None) -> None:
    lockstep = Lockstep(session, [STRIPES])
    load(lockstep, program or case.program, case.memories, case.registers)


def _error(session: RtlSession) -> tuple[ErrorCode, int, int]:
    """Run to the end, which must be an error: its code, class and detail."""
    session.write_register(CONTROL.address, START)
    session.wait_done(120.0, cycles=PATIENCE)
    status, error, detail = session.read_registers(
        [STATUS.address, global_register("ERROR").address, global_register("ERROR_DETAIL").address]
    )
    assert status >> STATUS.field("ERROR").low & 1, f"status {status:#x}: the fault was not noticed"
    assert not status >> STATUS.field("DONE").low & 1
    return ErrorCode(error & 0xFF), error >> 16 & 0xF, detail


def _index(case: RandomProgram, kind: type[Load] | type[Store]) -> int:
    return next(i for i, item in enumerate(case.program.cores[0].instructions) if isinstance(item, kind))


@pytest.mark.parametrize("bit", [3, 20, 70, 200, 511])
def test_a_flipped_bit_in_an_instruction(session: RtlSession, case: RandomProgram, bit: int) -> None:
    _load(session, case)
    data = bytearray(case.program.cores[0].to_bytes())
    data[64 * 9 + bit // 8] ^= 1 << bit % 8
    session.load_program(0, 0, bytes(data))
    code, _, detail = _error(session)
    # CRC covers every bit; an opcode that does not exist may be named as such.
    assert code in (ErrorCode.INSTRUCTION_CRC, ErrorCode.INSTRUCTION_CODE)
    assert detail == 9


def test_a_flipped_bit_in_a_weight(session: RtlSession, case: RandomProgram) -> None:
    """A checked load notices it."""
    stream = case.program.cores[0]
    index = next(
        i
        for i, item in enumerate(stream.instructions)
        if isinstance(item, Load) and item.target == LoadTarget.WEIGHTS and not item.address_reg
    )
    loaded = stream.instructions[index]
    assert isinstance(loaded, Load)
    part = case.memories[0][loaded.address : loaded.address + loaded.length]
    checked = replace(loaded, checked=1, checksum=rotate_xor(fold(part)))
    instructions = (*stream.instructions[:index], checked, *stream.instructions[index + 1 :])
    program = Program(1, (CoreProgram(instructions, stream.nodes),))

    lockstep = Lockstep(session, [STRIPES])
    load(lockstep, program, case.memories, case.registers)
    run(lockstep)

    _load(session, case, program)
    session.memory(0)[loaded.address, 5] ^= 0x10
    code, unit, detail = _error(session)
    assert (code, unit) == (ErrorCode.CHECKSUM, Opcode.LD)
    assert detail != checked.checksum


@pytest.mark.parametrize("copy", ["count_q", "copy_q"])
def test_a_flipped_bit_in_a_token_counter(session: RtlSession, case: RandomProgram, copy: str) -> None:
    _load(session, case)
    session.write_register(CONTROL.address, START)
    session.read_register(STATUS.address)
    session.advance(500)
    session.flip(f"{TOKENS}.{copy}", 1 << (8 * (Opcode.LD * 6 + Opcode.MISC) + 2))
    code, unit, detail = _error(session)
    assert (code, unit) == (ErrorCode.TOKEN_CORRUPT, Opcode.MISC)
    assert detail == Opcode.LD * 6 + Opcode.MISC


def test_a_read_error_of_memory(session: RtlSession, case: RandomProgram) -> None:
    _load(session, case)
    item = case.program.cores[0].instructions[_index(case, Load)]
    assert isinstance(item, Load)
    offset = case.registers.get(item.address_reg, 0) if item.address_reg else 0  # type: ignore[call-overload]
    session.set(fail_read=1, fail_channel=0, fail_address=(item.address + offset) * CONFIG.channel_bytes)
    assert _error(session)[:2] == (ErrorCode.AXI_READ, Opcode.LD)


def test_a_read_error_of_the_program(session: RtlSession, case: RandomProgram) -> None:
    _load(session, case)
    session.set(fail_read=1, fail_channel=128, fail_address=64 * 5 + 16)
    code, unit, detail = _error(session)
    assert (code, unit, detail) == (ErrorCode.AXI_READ, 15, 5)


def test_a_write_error(session: RtlSession, case: RandomProgram) -> None:
    _load(session, case)
    item = case.program.cores[0].instructions[_index(case, Store)]
    assert isinstance(item, Store)
    session.set(fail_write=1, fail_channel=0, fail_address=item.address * CONFIG.channel_bytes)
    assert _error(session)[:2] == (ErrorCode.AXI_WRITE, Opcode.ST)


@pytest.mark.parametrize("signal", ["freeze_reads", "freeze_writes"])
def test_memory_that_never_answers(session: RtlSession, case: RandomProgram, signal: str) -> None:
    """Back-pressure for ever: the watchdog ends it, and says which class hangs."""
    _load(session, case)
    session.set(freeze_channel=0, **{signal: 1})
    code, unit, detail = _error(session)
    assert code == ErrorCode.WATCHDOG
    assert unit == (Opcode.LD if signal == "freeze_reads" else Opcode.ST)
    assert detail >> 8 >> unit & 1


def test_a_program_that_never_comes(session: RtlSession, case: RandomProgram) -> None:
    _load(session, case)
    session.set(freeze_channel=128, freeze_reads=1)
    assert _error(session)[:2] == (ErrorCode.WATCHDOG, 15)


def test_a_token_that_nobody_gives(session: RtlSession, case: RandomProgram) -> None:
    """A deadlock in the program itself."""
    stream = case.program.cores[0]
    index = _index(case, Store)
    waiting = replace(stream.instructions[index], wait=stream.instructions[index].wait | 1 << Opcode.SYS)
    instructions = (*stream.instructions[:index], waiting, *stream.instructions[index + 1 :])
    _load(session, case, Program(1, (CoreProgram(instructions, stream.nodes),)))
    code, _, detail = _error(session)
    assert code == ErrorCode.WATCHDOG
    assert detail >> 16 >> Opcode.ST & 1


def test_an_address_outside_the_memory(session: RtlSession, case: RandomProgram) -> None:
    """The channel answers with a decode error."""
    stream = case.program.cores[0]
    index = _index(case, Load)
    item = stream.instructions[index]
    assert isinstance(item, Load)
    away = replace(item, address=STRIPES + 5, address_reg=0)
    instructions = (*stream.instructions[:index], away, *stream.instructions[index + 1 :])
    _load(session, case, Program(1, (CoreProgram(instructions, stream.nodes),)))
    assert _error(session)[:2] == (ErrorCode.AXI_READ, Opcode.LD)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (Load, {"target": LoadTarget.VECTOR, "vector_line": CONFIG.vector_lines, "address_reg": 0, "checked": 0},
         (ErrorCode.ADDRESS_RANGE, Opcode.LD)),
        (Store, {"mode": StoreMode.LINES, "source": CONFIG.vector_lines, "length": 1},
         (ErrorCode.ADDRESS_RANGE, Opcode.ST)),
        (Misc, {"rows": 0}, (ErrorCode.UNIT, Opcode.MISC)),
        (Misc, {"a": CONFIG.vector_lines}, (ErrorCode.ADDRESS_RANGE, Opcode.MISC)),
        (Misc, {"output": Output.VECTOR, "destination": CONFIG.vector_lines}, (ErrorCode.ADDRESS_RANGE, Opcode.MISC)),
        (MatrixVector, {"steps": 0, "steps_reg": 0}, (ErrorCode.UNIT, Opcode.MV)),
        (MatrixVector, {"destination": CONFIG.vector_lines}, (ErrorCode.ADDRESS_RANGE, Opcode.MV)),
        (MatrixMatrix, {"tiles": 0, "tiles_reg": 0}, (ErrorCode.UNIT, Opcode.MM)),
        (MatrixMatrix, {"activation_line": CONFIG.activation_lines}, (ErrorCode.ADDRESS_RANGE, Opcode.MM)),
    ],
)  # fmt: skip
def test_an_instruction_that_a_unit_cannot_serve(
    session: RtlSession,
    case: RandomProgram,
    kind: type[Instruction],
    changes: dict[str, int],
    expected: tuple[ErrorCode, Opcode],
) -> None:
    """No fields, or lines beyond a buffer: refused by the unit itself, for the simulator would not let it pass."""
    stream = case.program.cores[0]
    index = next(i for i, item in enumerate(stream.instructions) if isinstance(item, kind))
    changed = replace(stream.instructions[index], **changes)
    instructions = (*stream.instructions[:index], changed, *stream.instructions[index + 1 :])
    _load(session, case, Program(1, (CoreProgram(instructions, stream.nodes),)))
    assert _error(session)[:2] == expected


def test_a_start_at_the_wrong_address(session: RtlSession, case: RandomProgram) -> None:
    """Memory that holds no program: its zeros are no instruction."""
    _load(session, case)
    session.write_register(core_address(0, CoreRegister.PROGRAM_BASE_LOW), 1 << 20)
    code, unit, detail = _error(session)
    assert code in (ErrorCode.INSTRUCTION_CRC, ErrorCode.INSTRUCTION_CODE)
    assert (unit, detail) == (15, 0)
