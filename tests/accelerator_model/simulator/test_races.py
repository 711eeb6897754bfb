"""Missing tokens are found without running into them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    LoadTarget,
    MatrixVector,
    Misc,
    Opcode,
    Output,
    Reduction,
    Ring,
    Store,
    StoreMode,
    System,
    WeightBits,
    mask,
)
from cosyn.accelerator_model.isa import SystemOperation as Operation
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.simulator.races import Race, find_races
from tests.accelerator_model.simulator.programs import DONE, in_sequence, program

TINY = load_config("tiny")
REGISTERS = (0,) * 16
LOAD = Load(target=LoadTarget.VECTOR, length=8)
MISC = Misc(columns=64, output=Output.ACTIVATION)
WEIGHTS = Load(target=LoadTarget.WEIGHTS, length=2)
MV = MatrixVector(ring=Ring.WEIGHTS, bits=WeightBits.B8, steps=1, tiles=1, row_lines=1, destination=100)
STORE = Store(length=1, source=100, address=9)


def _races(*instructions: Instruction) -> list[Race]:
    return find_races(TINY, program(instructions), REGISTERS, [64])


def test_a_chain_of_tokens_leaves_no_race() -> None:
    assert _races(*in_sequence(LOAD, MISC, WEIGHTS, MV, STORE)) == []


@pytest.mark.parametrize(
    ("dropped", "text"),
    [
        (
            (0, 1),
            "core 0: vector word 0 is touched by LD instruction 0: LD target=vector length=8 rows=1"
            " and by MISC instruction 1: MISC release=LD function=identity rows=1 columns=64 b_kind=none c_kind=none"
            " d_kind=none reduction=none output=activation, with no token between them",
        ),
        ((3, 4), "core 0: vector word 400 is touched by MV instruction 3"),
        ((1, 2), "core 0: activation line 0 is touched by MISC instruction 1"),
    ],
)
def test_a_missing_token_is_named(dropped: tuple[int, int], text: str) -> None:
    chain = list(in_sequence(LOAD, MISC, WEIGHTS, MV, STORE))
    giver, taker = dropped
    chain[giver] = replace(chain[giver], release=0)
    chain[taker] = replace(chain[taker], wait=0)
    found = [str(race) for race in _races(*chain)]
    assert any(item.startswith(text) for item in found), found


def test_a_later_write_must_wait_for_earlier_reads() -> None:
    again = replace(LOAD, wait=0)
    first, second, *_ = in_sequence(LOAD, MISC)
    done = replace(DONE, wait=mask(Opcode.MISC))
    (race,) = _races(first, second, again, done)
    assert race.later.startswith("LD instruction 2")
    assert race.earlier.startswith("MISC instruction 1")


def test_words_of_one_line_do_not_disturb_each_other() -> None:
    sums = Misc(columns=16, reduction=Reduction.SUM, reduce_to=4 * 300 + 1)
    chain = in_sequence(LOAD, sums, replace(MISC, columns=4, a=0))
    assert _races(*chain) == []


def test_tokens_carry_what_their_givers_know() -> None:
    # LD gives to MISC, MISC to SYS, SYS to ST: the store may read what LD wrote.
    store = replace(STORE, source=0)
    relay = System(operation=Operation.NOTHING)
    assert _races(*in_sequence(LOAD, MISC, relay, store)) == []


def test_a_load_of_what_is_being_stored_is_found() -> None:
    keys = Store(mode=StoreMode.KEY, address=30, row_stride=2, length=1, wait=mask(Opcode.MISC))
    fill = replace(LOAD, release=mask(Opcode.MISC))
    activate = replace(MISC, wait=mask(Opcode.LD), release=mask(Opcode.ST))
    reload = Load(target=LoadTarget.KV, address=30, length=2)
    (race,) = _races(fill, activate, keys, reload, DONE)
    assert str(race).startswith("core 0: stripe 30 is touched by ")
    assert {race.earlier.split()[0], race.later.split()[0]} == {"LD", "ST"}


def test_an_exchange_writes_the_lines_of_others() -> None:
    config = load_config("odd")
    streams = []
    for core in range(2):
        load = Load(target=LoadTarget.VECTOR, length=2, vector_line=0)
        exchange = System(operation=Operation.EXCHANGE, base=4 * core, rows=1, lines=4)
        store = Store(length=1, source=0, address=3)
        streams.append(in_sequence(load, exchange, store))
    assert find_races(config, program(*streams), REGISTERS, [64, 64]) == []
    first = list(streams[1])
    first[2] = replace(first[2], wait=0)
    first[1] = replace(first[1], release=0)
    races = find_races(config, program(streams[0], first), REGISTERS, [64, 64])
    assert races
    assert {race.core for race in races} == {1}
