"""SYS over several cores, and what is said when a program cannot go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Load, LoadTarget, MatrixVector, Misc, Opcode, Output, Ring, System, mask
from cosyn.accelerator_model.isa import SystemOperation as Operation
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.simulator import DeadlockError, Stall
from tests.accelerator_model.simulator.programs import DONE, Memory, in_sequence, lines_of, run, store_lines


@pytest.mark.parametrize("timing", [False, True])
@pytest.mark.parametrize("cores", [2, 3])
def test_an_exchange_gives_every_core_the_lines_of_all(cores: int, timing: bool) -> None:
    config = replace(load_config("odd"), cores=cores)
    memories, streams, stores = [], [], []
    values = np.random.default_rng(0).standard_normal((cores, 2, 24)).astype(np.float32)
    lines = 24 // config.lanes
    for core in range(cores):
        memory = Memory(config)
        address, count = memory.put(lines_of(config, values[core]))
        base = 100 + core * lines
        load = Load(target=LoadTarget.VECTOR, address=address, rows=2, length=count // 2, row_stride=count // 2,
                    vector_line=base, vector_stride=50)  # fmt: skip
        exchange = System(operation=Operation.EXCHANGE, base=base, rows=2, row_stride=50, lines=lines)
        store = store_lines(config, memory, 100, 2, 50, cores * lines)
        streams.append(in_sequence(load, System(operation=Operation.BARRIER), exchange, store))
        memories.append(memory)
        stores.append(store)
    run(config, streams, memories, timing=timing)
    expected = values.transpose(1, 0, 2).reshape(2, -1)
    for memory, store in zip(memories, stores, strict=True):
        np.testing.assert_array_equal(memory.floats(store.address, expected.size).reshape(2, -1), expected)


@pytest.mark.parametrize("timing", [False, True])
def test_a_deadlock_names_the_wait_cycle(timing: bool) -> None:
    config = load_config("tiny")
    load = Load(target=LoadTarget.VECTOR, length=1, wait=mask(Opcode.MISC), release=mask(Opcode.MISC))
    misc = Misc(columns=8, output=Output.VECTOR, destination=4, wait=mask(Opcode.LD), release=mask(Opcode.LD))
    with pytest.raises(DeadlockError) as error:
        run(config, [(load, misc, DONE)], [Memory(config)], timing=timing)
    text = str(error.value)
    head, _, rest = text.partition("\n")
    assert head.startswith(("deadlock after", "deadlock at cycle"))
    assert head.endswith("; the program cannot go on:")
    assert rest.splitlines() == [
        f"  core 0 LD: instruction 0: {load.assembly()}",
        "    waits for a token from MISC",
        f"  core 0 MISC: instruction 1: {misc.assembly()}",
        "    waits for a token from LD",
        "  and so back to core 0 LD",
        "  also waiting: core 0 SYS: instruction 2: SYS operation=done",
    ]


@pytest.mark.parametrize("timing", [False, True])
def test_a_stream_that_ends_too_early_is_named(timing: bool) -> None:
    config = load_config("tiny")
    load = Load(target=LoadTarget.WEIGHTS, length=1)
    misc = Misc(columns=32, output=Output.ACTIVATION, valid=1, a=0, wait=mask(Opcode.LD), release=mask(Opcode.MV))
    fill = Load(target=LoadTarget.VECTOR, length=4, release=mask(Opcode.MISC))
    vector = MatrixVector(ring=Ring.WEIGHTS, steps=1, tiles=2, bits=2, row_lines=1, wait=mask(Opcode.MISC))
    with pytest.raises(DeadlockError) as error:
        run(config, [(fill, load, misc, vector, DONE)], [Memory(config)], timing=timing)
    text = str(error.value)
    assert f"core 0 MV: instruction 3: {vector.assembly()}" in text
    assert "from the WEIGHTS ring, which holds" in text
    assert "core 0 LD: its queue has ended" in text


@pytest.mark.parametrize("timing", [False, True])
def test_a_core_that_never_comes_to_the_barrier_is_named(timing: bool) -> None:
    config = load_config("odd")
    barrier = System(operation=Operation.BARRIER)
    with pytest.raises(DeadlockError, match=r"waits for core 1 to reach BARRIER"):
        run(config, [(barrier, DONE), (DONE,)], [Memory(config), Memory(config)], timing=timing)


def test_cores_that_meet_differently_are_an_error() -> None:
    config = load_config("odd")
    barrier, exchange = System(operation=Operation.BARRIER), System(operation=Operation.EXCHANGE, rows=1, lines=1)
    with pytest.raises(ProgramError, match="the cores meet with different operations: core 0: SYS operation=barrier;"):
        run(config, [(barrier, DONE), (exchange, DONE)], [Memory(config), Memory(config)])


def test_waiting_for_other_cores_is_counted_apart() -> None:
    """Busy cycles of SYS less those are the same on the core that comes first and on the one that comes last."""
    config = load_config("odd")
    barrier = System(operation=Operation.BARRIER)
    misc = Misc(columns=512, output=Output.VECTOR, destination=600)
    fill = Load(target=LoadTarget.VECTOR, length=32)
    streams = [in_sequence(fill, misc, barrier), in_sequence(barrier)]
    found = run(config, streams, [Memory(config), Memory(config)])
    waited = {core: found.stalls[core, Opcode.SYS, Stall.BARRIER] for core in range(2)}
    assert waited[0] == 0
    assert waited[1] == found.meeting_cycles > 128
    assert found.busy[1, Opcode.SYS] - waited[1] == found.busy[0, Opcode.SYS]
