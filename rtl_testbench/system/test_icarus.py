"""The whole accelerator in Icarus, which knows unknown values: every retirement is the simulator's there, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.presets import load_config
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.lockstep import Lockstep
from cosyn.rtl_testbench.system.random_programs import STRIPES, random_program
from cosyn.rtl_testbench.system.runs import load, run

pytestmark = needs_simulator("icarus")

QUICK = {("tiny", 1), ("tiny", 6)}
CASES = [*(("tiny", seed) for seed in range(8)), *(("odd", seed) for seed in range(2))]


@pytest.fixture(scope="module")
def sessions() -> Iterator[dict[str, RtlSession]]:
    """Started when the first test asks for one."""
    opened: dict[str, RtlSession] = {}
    yield opened
    for session in opened.values():
        session.close()


def _session(sessions: dict[str, RtlSession], name: str) -> RtlSession:
    if name not in sessions:
        config = load_config(name)
        sessions[name] = RtlSession(config, "icarus", data_bytes=STRIPES * config.stripe_bytes)
    return sessions[name]


@pytest.mark.parametrize(
    ("name", "seed"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_nothing_unknown_reaches_a_result(sessions: dict[str, RtlSession], name: str, seed: int) -> None:
    """Matrix instructions also multiply rows of a token group that nobody has written: those must stay apart.

    A write with an unknown bit has an unknown digest, which equals none.
    """
    session = _session(sessions, name)
    case = random_program(session.config, seed)
    lockstep = Lockstep(session, [STRIPES] * session.config.cores)
    load(lockstep, case.program, case.memories, case.registers)
    run(lockstep)
    (step,) = lockstep.steps
    assert [item.digest for item in step.retirements if item.digest < 0] == []
    assert len(step.retirements) == len(step.result.retirements)
    assert step.rtl_cycles == pytest.approx(step.simulated_cycles, rel=0.05)


def test_the_quick_programs_reach_every_class() -> None:
    programs = [random_program(load_config(name), seed).program for name, seed in QUICK]
    assert {item.opcode for p in programs for core in p.cores for item in core.instructions} == set(Opcode)
