"""Cycles: cases counted by hand, back-pressure, causes of waiting, and that nothing depends on chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    LoadTarget,
    MatrixMatrix,
    MatrixVector,
    Misc,
    Opcode,
    Output,
    Ring,
    Store,
    System,
    SystemOperation,
    WeightBits,
    mask,
)
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import MemoryImage
from cosyn.accelerator_model.simulator import DeadlockError, Machine, RunResult, Stall
from tests.accelerator_model.simulator.programs import DONE, digests, in_sequence, program

TINY = load_config("tiny")
CALM = replace(TINY, memory=replace(TINY.memory, refresh_cycles=0, row_miss_cycles=0))
"""A memory that moves a beat a cycle from the start."""

FILL = Load(target=LoadTarget.VECTOR, length=64, release=mask(Opcode.MISC))
ACTIVATE = Misc(columns=256, output=Output.ACTIVATION, wait=mask(Opcode.LD), release=mask(Opcode.MV))


def _run(*instructions: Instruction, config=TINY, stripes: int = 8192, values: bool = False) -> RunResult:
    image = MemoryImage(config.stripe_bytes, np.zeros((stripes, config.stripe_bytes), np.uint8))
    return Machine(config, [image]).run(program(instructions), {}, values=values)


def _spans(result: RunResult) -> list[tuple[int, int]]:
    ordered = sorted(result.retirements, key=lambda item: item.index)
    return [(item.start, item.end) for item in ordered]


def test_the_first_instruction_starts_when_it_has_been_fetched() -> None:
    # request 2, ARVALID 3, beats 4..7, data 28 later, dispatch 36, issue 37, retired the cycle after
    assert _spans(_run(DONE, config=CALM)) == [(37, 38)]


def test_a_load_takes_the_memory_latency_and_a_cycle_a_stripe() -> None:
    # issue 37, ARVALID 41, beats 42..51, RVALID 28 later, in the ring 3 later, retired 2 after the last
    load = Load(target=LoadTarget.WEIGHTS, length=10)
    assert _spans(_run(load, DONE, config=CALM))[0] == (37, 51 + 28 + 3 + 2)


def test_a_load_of_vector_lines_takes_a_cycle_a_line() -> None:
    # the first stripe is at the parameter FIFO in 73, its lines are written in 75 and 76, the last of 10 in 94
    load = Load(target=LoadTarget.VECTOR, length=10)
    assert _spans(_run(load, DONE, config=CALM))[0] == (37, 95)


@pytest.mark.parametrize("columns", [64, 128])
def test_a_pass_reads_a_line_a_cycle(columns: int) -> None:
    start, end = _spans(_run(*in_sequence(FILL, Misc(columns=columns, output=Output.VECTOR, destination=99))))[1]
    # first read 2 after the start; the last line's y 22 later, retired 3 after
    assert end - start == 2 + (columns // 4 - 1) + 22 + 3


def test_a_long_stream_moves_at_the_rate_of_the_memory() -> None:
    steps, tiles = 32, 100
    load = Load(target=LoadTarget.WEIGHTS, length=steps * tiles)
    vector = MatrixVector(bits=WeightBits.B4, steps=steps, tiles=tiles, row_lines=4, wait=mask(Opcode.MISC),
                          destination=1000)  # fmt: skip
    result = _run(FILL, ACTIVATE, load, vector, replace(DONE, wait=0))
    start, end = _spans(result)[2]
    refresh = TINY.memory.refresh_cycles / TINY.memory.refresh_interval_cycles
    assert (end - start) * (1 - refresh) == pytest.approx(steps * tiles, rel=0.05)
    assert result.stalls[0, Opcode.MV, Stall.RING_EMPTY] > 0
    assert result.memory_bytes == (64 + steps * tiles) * TINY.stripe_bytes
    assert result.traffic[0, 0].busy_cycles == 64 + steps * tiles


def test_a_full_ring_holds_the_memory_back() -> None:
    # MM needs two cycles for each word, so the stream waits for it once the ring is full.
    steps, tiles = 32, 100
    load = Load(target=LoadTarget.WEIGHTS, length=steps * tiles)
    matrix = MatrixMatrix(bits=WeightBits.B4, steps=steps, tiles=tiles, row_lines=4, rows=2, wait=mask(Opcode.MISC),
                          destination=1000, destination_stride=400)  # fmt: skip
    activate = replace(ACTIVATE, rows=2, a_stride=0, destination_stride=4, release=mask(Opcode.MM))
    result = _run(FILL, activate, load, matrix, DONE)
    assert result.stalls[0, Opcode.LD, Stall.RING_FULL] > 1000
    start, end = _spans(result)[3]
    assert end - start == pytest.approx(2 * steps * tiles, rel=0.02)
    # LD ends when the last ring of words can still be ahead of the array
    assert _spans(result)[2][1] == pytest.approx(end - 2 * TINY.weight_ring_words, abs=150)


def test_the_drain_holds_small_tiles_back() -> None:
    tiles = 60
    load = Load(target=LoadTarget.WEIGHTS, length=2 * tiles, release=mask(Opcode.MV))
    vector = MatrixVector(bits=WeightBits.B8, steps=1, tiles=tiles, row_lines=1, column_scaled=1, token_scaled=1,
                          wait=mask(Opcode.MISC, Opcode.LD), destination=1000)  # fmt: skip
    result = _run(FILL, ACTIVATE, load, vector, DONE)
    start, end = _spans(result)[3]
    # Four tiles can wait; each leaves 20 cycles after its last step: 17 to the drain, 2 lines and a token scale.
    assert end - start == pytest.approx(20 / 4 * tiles, abs=40)
    assert result.stalls[0, Opcode.MV, Stall.DRAIN] > 0


def test_a_program_that_needs_more_words_than_the_queue_lets_through_is_a_deadlock() -> None:
    # MV waits for a pass that stands behind more loads than the LD queue and a full ring can take.
    loads = [Load(target=LoadTarget.WEIGHTS, length=600) for _ in range(8)]
    vector = MatrixVector(bits=WeightBits.B4, steps=32, tiles=150, row_lines=4, wait=mask(Opcode.MISC),
                          destination=1000)  # fmt: skip
    with pytest.raises(DeadlockError) as error:
        _run(vector, *loads, FILL, ACTIVATE, DONE)
    text = str(error.value)
    assert "waits for room in the WEIGHTS ring, which MV reads" in text
    assert "waits for a token from MISC" in text
    assert "waits for its dispatch, behind the full LD queue" in text
    assert "and so back to core 0 LD" in text


def test_the_watchdog_reports_a_unit_that_takes_too_long() -> None:
    slow = replace(TINY, watchdog_cycles=1000)
    load = Load(target=LoadTarget.VECTOR, length=1000)
    text = r"core 0: nothing retired between cycles 0 and \d+, more than watchdog_cycles 1000; then: LD target=vector"
    with pytest.raises(ProgramError, match=text):
        _run(load, DONE, config=slow)


def test_too_many_tokens_are_reported() -> None:
    gift = System(operation=SystemOperation.NOTHING, release=mask(Opcode.LD))
    with pytest.raises(
        ProgramError, match=r"core 0: SYS gives LD token 256 at cycle \d+; a counter holds 255; in: SYS"
    ):
        _run(*([gift] * 256), DONE)


def test_cycles_do_not_depend_on_values_and_runs_are_alike() -> None:
    steps, tiles = 8, 12
    stream = in_sequence(
        replace(FILL, release=0),
        replace(ACTIVATE, wait=0, release=0),
        Load(target=LoadTarget.WEIGHTS, length=2 * steps * tiles),
        MatrixVector(ring=Ring.WEIGHTS, bits=WeightBits.B8, steps=steps, tiles=tiles, row_lines=4, destination=1000),
    )
    first, second, without = _run(*stream, values=True), _run(*stream, values=True), _run(*stream)
    assert first.retirements == second.retirements
    assert digests(first) == digests(second)
    assert _spans(first) == _spans(without)
    assert first.stalls == without.stalls


def test_refreshes_count_from_reset() -> None:
    image = MemoryImage(TINY.stripe_bytes, np.zeros((4096, TINY.stripe_bytes), np.uint8))
    load = Load(target=LoadTarget.WEIGHTS, length=1000)
    cycles = {
        Machine(TINY, [image]).run(program((load, DONE)), {}, values=False, started=started).cycles
        for started in range(0, TINY.memory.refresh_interval_cycles, 97)
    }
    assert len(cycles) > 1
    assert max(cycles) - min(cycles) <= 2 * TINY.memory.refresh_cycles


def test_a_run_finds_the_row_open_that_the_one_before_left() -> None:
    """A store at the end turns the channel round, which the next program's first load pays."""
    image = MemoryImage(TINY.stripe_bytes, np.zeros((64, TINY.stripe_bytes), np.uint8))
    machine, load = Machine(TINY, [image]), Load(target=LoadTarget.WEIGHTS, length=8)
    after = TINY.memory.refresh_cycles
    first, second = (machine.run(program((load, DONE)), {}, values=False, started=after).cycles for _ in range(2))
    assert first - second == TINY.memory.row_miss_cycles
    machine.run(program((Store(address=1, rows=1, length=1), DONE)), {}, values=False, started=after)
    third = machine.run(program((load, DONE)), {}, values=False, started=after).cycles
    assert third - second == TINY.memory.turnaround_cycles
