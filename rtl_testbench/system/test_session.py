"""RtlSession: what the host's transport promises, in both simulators."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_model.control import IDENTITY, CoreRegister, core_address, global_register
from cosyn.accelerator_model.isa import Load, LoadTarget, Opcode, Store, System, SystemOperation
from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.rtl_testbench.build import Built
from cosyn.rtl_testbench.errors import SessionError, SessionTimeout
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.lockstep import Lockstep
from cosyn.rtl_testbench.system.random_programs import in_sequence
from cosyn.rtl_testbench.system.runs import START, load, run

CONFIG = load_config("tiny")
STRIPES = 64
SIMULATORS = [pytest.param(name, marks=needs_simulator(name)) for name in ("verilator", "icarus")]


@pytest.fixture(scope="module", params=SIMULATORS)
def session(request: pytest.FixtureRequest) -> Iterator[RtlSession]:
    with RtlSession(CONFIG, request.param, data_bytes=STRIPES * CONFIG.stripe_bytes) as opened:
        yield opened


def _copy(count: int) -> Program:
    """Memory to the vector buffer and back, `count` stripes further."""
    instructions = in_sequence(
        [
            Load(target=LoadTarget.VECTOR, length=count),
            Store(address=count, length=count),
            System(operation=SystemOperation.DONE),
        ]
    )
    return Program(1, (CoreProgram(tuple(instructions), ("",) * len(instructions)),))


def test_identity_and_configuration(session: RtlSession) -> None:
    low, high = (global_register(f"CONFIG_HASH_{part}").address for part in ("LOW", "HIGH"))
    number, first, second = session.read_registers([global_register("ID").address, low, high])
    assert number == IDENTITY
    assert f"{second:08x}{first:08x}" == config_hash(CONFIG)


def test_memory_and_trace(session: RtlSession) -> None:
    """A program reads what the host wrote, the host reads what the program wrote, and the trace has all of it."""
    data = np.random.default_rng(5).integers(0, 128, (STRIPES, CONFIG.stripe_bytes), np.uint8)
    lockstep = Lockstep(session, [STRIPES])
    load(lockstep, _copy(16), [data], {})
    run(lockstep)
    np.testing.assert_array_equal(session.read_memory(0, 16, 16), data[:16])
    (step,) = lockstep.steps
    assert [item.opcode for item in step.retirements] == [Opcode.LD, Opcode.ST, Opcode.SYS]
    assert session.counter(0, CoreRegister.RETIRED, Opcode.LD) == 1
    assert session.counter(0, CoreRegister.WRITE_BEATS) == 16 * CONFIG.channels_per_core


def test_a_host_with_little_patience(session: RtlSession) -> None:
    lockstep = Lockstep(session, [STRIPES])
    load(lockstep, _copy(16), [np.zeros((STRIPES, CONFIG.stripe_bytes), np.uint8)], {})
    session.write_register(global_register("CONTROL").address, START)
    with pytest.raises(SessionTimeout, match=r"still busy \(status 0x1\) after .* 20 cycles; core 0: queued "):
        session.wait_done(60.0, cycles=20)
    session.wait_done(60.0)


def test_memory_beyond_the_end(session: RtlSession) -> None:
    with pytest.raises(SessionError, match=rf"core 0 has {STRIPES} stripes, stripes 60 to 70 were asked for"):
        session.read_memory(0, 60, 10)


def test_an_unknown_control_address(session: RtlSession) -> None:
    with pytest.raises(SessionError, match="the control port answered address 0x1f0 with an error"):
        session.read_register(0x1F0)
    assert session.read_register(core_address(0, CoreRegister.STATE)) == 0


@needs_simulator()
def test_a_simulation_that_ends_says_why() -> None:
    """Its log stays, the memories do not."""
    session = RtlSession(CONFIG, data_bytes=STRIPES * CONFIG.stripe_bytes)
    os.kill(session.process_id, signal.SIGKILL)
    with pytest.raises(SessionError, match=r"the simulation ended with -9; log: .*simulation\.log\n"):
        session.read_register(0)
    session.close()
    assert list(session.folder.iterdir()) == [session.log]
    shutil.rmtree(session.folder)


@needs_simulator()
def test_a_simulation_that_dies_while_it_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server inside it is not found. Nothing waits for it for ever, and the log says so."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = Built.environment
    monkeypatch.setattr(Built, "environment", lambda self, module: environment(self, f"{module}_that_is_not_there"))
    with pytest.raises(
        SessionError, match=r"(?s)the simulation ended with \d+ at its start; log: .*_that_is_not_there"
    ):
        RtlSession(CONFIG, data_bytes=STRIPES * CONFIG.stripe_bytes)
    gc.collect()
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["simulation.log"]


@needs_simulator()
def test_a_forgotten_session_ends_and_leaves_nothing() -> None:
    session = RtlSession(CONFIG, data_bytes=STRIPES * CONFIG.stripe_bytes)
    number, folder = session.process_id, session.folder
    del session
    gc.collect()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
