"""One step at three levels: the meaning of the graph, the cycle simulator, and the RTL."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosyn.accelerator_model.control import (
    CoreRegister,
    core_address,
    describe_error,
    global_register,
    runtime_register_address,
)
from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_model.program import MemoryImage, Program
from cosyn.accelerator_model.simulator.machine import Machine
from cosyn.accelerator_model.simulator.results import RunResult
from cosyn.rtl_testbench.errors import SessionError
from cosyn.rtl_testbench.full_size.memory_files import MemoryFiles
from cosyn.rtl_testbench.full_size.step import Floats, RandomStep
from cosyn.rtl_testbench.session import RtlRetirement, RtlSession
from cosyn.rtl_testbench.system.clock import check_start, read_busy, read_meeting_wait, ring_doorbell
from cosyn.rtl_testbench.system.lockstep import LockstepError, StepRun, first_mismatch

_CONTROL, _STATUS = global_register("CONTROL"), global_register("STATUS")
_START = 1 << _CONTROL.field("START").low
_FAILED = 1 << _STATUS.field("ERROR").low

_NEWS_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RtlRun:
    """What the RTL did, and how long the simulator of the RTL took."""

    logits: Floats
    cycles: int
    retirements: tuple[RtlRetirement, ...]
    busy: dict[tuple[int, Opcode], int]
    meeting_wait: int
    seconds: float
    reason: str
    """What the accelerator reported, if it stopped."""

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles a second."""
        return self.cycles / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Levels:
    """The results of a step whose logits, retirements and stored cache are the same at all levels."""

    step: StepRun
    logits: Floats
    rtl_seconds: float
    simulator_seconds: float
    reference_seconds: float

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles of the RTL a second."""
        return self.step.rtl_cycles / self.rtl_seconds


def start_rtl(session: RtlSession, files: MemoryFiles, program: Program) -> int:
    """Start the step in a session whose memory `files` are; the cycle since reset that it counts as 0."""
    step = files.step
    for core, stream in enumerate(program.cores):
        session.load_program(core, 0, stream.to_bytes())
        session.write_register(core_address(core, CoreRegister.PROGRAM_BASE_LOW), 0)
        session.write_register(core_address(core, CoreRegister.PROGRAM_BASE_HIGH), 0)
    for register, value in step.registers.items():
        session.write_register(runtime_register_address(register), value)
    session.write_register(_CONTROL.address, _START)
    return ring_doorbell(session)


def finish_rtl(session: RtlSession, files: MemoryFiles, timeout: float) -> RtlRun:
    """Wait for the end of the step; SessionError when it does not end."""
    begin = time.monotonic()
    session.wait_done(timeout)
    seconds = time.monotonic() - begin
    reason = ""
    if session.read_register(_STATUS.address) & _FAILED:
        error, detail = (global_register(name).address for name in ("ERROR", "ERROR_DETAIL"))
        reason = describe_error(*session.read_registers([error, detail]))
    logits, retirements = files.step.logits(files.shared()), tuple(session.take_retirements())
    busy, meeting_wait = read_busy(session), read_meeting_wait(session)
    return RtlRun(logits, session.cycles(), retirements, busy, meeting_wait, seconds, reason)


def run_levels(step: RandomStep, folder: Path, *, timeout: float, say: Say = print) -> Levels:
    """Run `step` at all levels and hold them to each other bit for bit.

    Memories lie in `folder`. The RTL runs beside the other two. LockstepError names the first instruction that
    differs; AssertionError where logits or the stored cache differ; SessionError where another run uses `folder`.
    """
    with _reserved(folder):
        return _run_levels(step, folder, timeout, say)


@contextmanager
def _reserved(folder: Path) -> Iterator[None]:
    """Nobody else may write the memories while processes map them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SessionError(f"{folder} is in use by another run: wait for it, or give another folder") from error
        yield


def _run_levels(step: RandomStep, folder: Path, timeout: float, say: Say) -> Levels:
    begin = time.monotonic()
    files = MemoryFiles(folder, step)
    program = step.program(files.shared())
    counts = [len(stream.instructions) for stream in program.cores]
    say(f"memory and program after {time.monotonic() - begin:.0f} s: {counts} instructions")
    memories = files.private()
    with RtlSession(step.config, memory_files=files.paths) as session, ThreadPoolExecutor(1) as pool:
        session.take_retirements()
        say("the RTL starts")
        started = start_rtl(session, files, program)
        future = pool.submit(finish_rtl, session, files, timeout)
        begin = time.monotonic()
        result = _simulate(step, program, memories, started)
        simulator_seconds = time.monotonic() - begin
        say(f"cycle simulator: {result.cycles} cycles, {simulator_seconds:.0f} s")
        begin = time.monotonic()
        logits = step.reference_logits()
        reference_seconds = time.monotonic() - begin
        say(f"reference: {reference_seconds:.0f} s; token {int(np.argmax(logits))}")
        _same("the simulator's logits", step.logits(memories), logits)
        begin, first = time.monotonic(), session.latest_cycle()
        while not wait([future], _NEWS_SECONDS).done:
            cycle = session.latest_cycle()
            speed = (cycle - first) / (time.monotonic() - begin)
            say(f"the RTL is in cycle {cycle} of about {result.cycles}, {speed:.0f} cycles/s")
        rtl = future.result()
    say(f"RTL: {rtl.cycles} cycles, {rtl.seconds:.0f} s, {rtl.cycles_per_second:.0f} cycles/s")
    mismatch = first_mismatch(program, result.retirements, rtl.retirements, started, rtl.reason)
    if mismatch is not None:
        raise LockstepError(mismatch)
    if rtl.reason:
        raise SessionError(f"every instruction retired, but the accelerator reports: {rtl.reason}")
    check_start(started, rtl.retirements, rtl.cycles)
    _same("the RTL's logits", rtl.logits, logits)
    shared = files.shared()
    for core, memory in enumerate(step.layout.maps):
        for region in memory.regions.values():
            if region.kind in ("cache", "output"):
                part = slice(region.address, region.address + region.stripes)
                _same(f"core {core}: {region.name} on the RTL", shared[core][part], memories[core][part])
    run = StepRun(program, step.registers, rtl.cycles, result, rtl.retirements, started, rtl.busy, rtl.meeting_wait)
    return Levels(run, logits, rtl.seconds, simulator_seconds, reference_seconds)


def _simulate(step: RandomStep, program: Program, memories: list[np.ndarray], started: int) -> RunResult:
    images = [MemoryImage(step.config.stripe_bytes, memory) for memory in memories]
    return Machine(step.config, images).run(program, step.registers, started=started)


def _same(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    """AssertionError with the number of elements whose bits differ, and the first of them."""
    kind = np.uint32 if expected.dtype == np.float32 else expected.dtype
    wrong = np.argwhere(found.view(kind) != expected.view(kind))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise AssertionError(
            f"{what}: {len(wrong)} of {expected.size} elements differ, first {place}:"
            f" found {found[place]!r}, expected {expected[place]!r}"
        )
