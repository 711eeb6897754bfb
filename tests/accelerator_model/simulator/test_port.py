"""The write port of the vector buffer and what waits for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosyn.accelerator_model.isa import Load, LoadTarget, Misc, Opcode, Output, mask
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import MemoryImage
from cosyn.accelerator_model.simulator import Machine, RunResult, Stall
from cosyn.accelerator_model.simulator.port import WritePort
from tests.accelerator_model.simulator.programs import DONE, program

TINY = load_config("tiny")


def test_cycles_that_are_marked_are_skipped() -> None:
    port = WritePort()
    port.mark(10, 3, 2)
    assert [port.take(9) for _ in range(5)] == [9, 11, 13, 15, 16]


def test_the_port_has_no_end() -> None:
    port = WritePort()
    port.mark(0, 200_000, 1)
    assert port.take(5) == 200_000


def _run(pause: int) -> RunResult:
    """A pass of 512 lines while parameters arrive; `pause` more vectors that it reads for each line."""
    image = MemoryImage(TINY.stripe_bytes, np.zeros((4096, TINY.stripe_bytes), np.uint8))
    fill = Load(target=LoadTarget.VECTOR, length=256, release=mask(Opcode.MISC))
    busy = Misc(columns=2048, output=Output.VECTOR, destination=1000, wait=mask(Opcode.LD), b_kind=4 * pause, b=0)
    parameters = Load(target=LoadTarget.VECTOR, length=200, vector_line=4000)
    return Machine(TINY, [image]).run(program((fill, busy, parameters, replace(DONE))), {}, values=False)


def test_parameters_wait_for_a_pass_that_writes_every_cycle() -> None:
    # The FIFO holds 34 stripes; behind them the memory stops.
    alone, half = _run(0), _run(1)
    waited = alone.stalls[0, Opcode.LD, Stall.PORT]
    assert waited > 300
    assert half.stalls[0, Opcode.LD, Stall.PORT] < waited
    ends = [[item.end for item in result.retirements if item.opcode == Opcode.LD][1] for result in (alone, half)]
    passes = [next(item.end for item in result.retirements if item.opcode == Opcode.MISC) for result in (alone, half)]
    assert ends[0] > passes[0]
    assert ends[1] < passes[1]
