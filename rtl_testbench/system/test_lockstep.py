"""The whole RTL against the simulator, retirement by retirement, on random programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.isa import Instruction, Misc, Opcode
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.explain import explain
from cosyn.rtl_testbench.system.lockstep import Lockstep, LockstepError, StepRun
from cosyn.rtl_testbench.system.random_programs import STRIPES, RandomProgram, random_program
from cosyn.rtl_testbench.system.report import by_class
from cosyn.rtl_testbench.system.runs import load, run

SEEDS = range(12)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=needs_simulator()) for name in ("tiny", "odd")])
def session(request: pytest.FixtureRequest) -> Iterator[RtlSession]:
    config = load_config(request.param)
    with RtlSession(config, data_bytes=STRIPES * config.stripe_bytes) as opened:
        yield opened


def _lockstep(session: RtlSession, case: RandomProgram) -> Lockstep:
    # The simulator's memory starts with no row open.
    session.reset()
    lockstep = Lockstep(session, [STRIPES] * session.config.cores)
    load(lockstep, case.program, case.memories, case.registers)
    return lockstep


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program(session: RtlSession, seed: int) -> None:
    """Every retirement's writes are those of the simulator, and the cycles are its own: in total and by class."""
    lockstep = _lockstep(session, random_program(session.config, seed))
    run(lockstep)
    (step,) = lockstep.steps
    assert len(step.retirements) == len(step.result.retirements)
    assert step.simulated_cycles == pytest.approx(step.rtl_cycles, rel=0.02)
    for row in by_class(step):
        assert row.simulated == pytest.approx(row.rtl, rel=0.05), row.name


def test_random_programs_reach_every_class(session: RtlSession) -> None:
    config = session.config
    programs = [random_program(config, seed).program for seed in SEEDS]
    found = {item.opcode for program in programs for core in program.cores for item in core.instructions}
    assert found == set(Opcode)


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_results_do_not_depend_on_timing(session: RtlSession, seed: int) -> None:
    """With memory and instruction channels that pause at random: later, but the same writes."""
    case = random_program(session.config, seed)
    steps = []
    for pause in (0, 160):
        lockstep = _lockstep(session, case)
        session.set(pause=pause)
        try:
            run(lockstep)
        finally:
            session.set(pause=0)
        steps += lockstep.steps
    free, paused = steps
    assert _digests(free) == _digests(paused)
    assert len(paused.retirements) == sum(len(core.instructions) for core in case.program.cores)
    assert paused.rtl_cycles > free.rtl_cycles


def _digests(step: StepRun) -> list[tuple[int, int, int]]:
    """Core, class and digest of every retirement; those of a core and class are in program order."""
    return [(r.core, r.opcode, r.digest) for r in sorted(step.retirements, key=lambda r: (r.core, r.opcode))]


def test_a_program_runs_again(session: RtlSession) -> None:
    """Nothing of a run is left that the next one sees: the same program, from another address, twice."""
    case = random_program(session.config, 7)
    lockstep = _lockstep(session, case)
    run(lockstep)
    load(lockstep, case.program, case.memories, case.registers, address=1 << 16)
    run(lockstep)
    # Classes and cores may retire in another order: refreshes meet the second run at other places.
    first, second = (_digests(step) for step in lockstep.steps)
    assert first == second


def _sabotaged(program: Program) -> tuple[Program, int]:
    """The program with another constant in the last pass of core 0 that multiplies by one; its index."""
    stream = program.cores[0]
    index = max(i for i, item in enumerate(stream.instructions) if isinstance(item, Misc) and item.output)
    changed: list[Instruction] = list(stream.instructions)
    item = changed[index]
    assert isinstance(item, Misc)
    changed[index] = replace(item, c_negate=1 - item.c_negate, c_kind=1, immediate0=9.0, reduction=item.reduction)
    return Program(1, (CoreProgram(tuple(changed), stream.nodes), *program.cores[1:])), index


@needs_simulator()
def test_the_first_difference_is_named() -> None:
    """The simulator is given another program than the RTL: instruction, node and element are found."""
    config = load_config("tiny")
    case = random_program(config, 3)
    wrong, index = _sabotaged(case.program)
    with RtlSession(config, data_bytes=STRIPES * config.stripe_bytes) as session:
        lockstep = Lockstep(session, [STRIPES], lambda core, address: case.program.cores[core].nodes)
        load(lockstep, case.program, case.memories, case.registers)
        # Behind the lockstep's back.
        session.load_program(0, 0, wrong.cores[0].to_bytes())
        with pytest.raises(LockstepError) as caught:
            run(lockstep)
    mismatch = caught.value.mismatch
    assert (mismatch.core, mismatch.index, mismatch.node) == (0, index, f"random {index}")
    assert str(mismatch).startswith(f"core 0, instruction {index} (random {index}) wrote something else: digest 0x")

    memories = [memory.copy() for memory in case.memories]
    expected = explain(
        config, case.program, case.registers, memories, 0, mismatch.opcode, index, rtl_program=wrong, waves=False
    )
    assert "the RTL has" in expected.text
    assert f"instruction {index}" not in expected.text
    np.testing.assert_array_equal(memories[0], case.memories[0])
