"""The cycle simulator's MM and MV against the engine's cycles (timing.py, which the bench proves on the RTL)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosyn.accelerator_model.isa import Load, LoadTarget, MatrixMatrix, Opcode, Ring, System, SystemOperation, mask
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program
from cosyn.accelerator_model.simulator.machine import Machine
from cosyn.accelerator_model.tile_stream import DENSE
from cosyn.rtl_testbench.matrix_engine.stimulus import Case, make_case, random_shape, words_of
from cosyn.rtl_testbench.matrix_engine.timing import instruction_cycles


def _simulated(case: Case, config_name: str) -> int:
    """Cycles from start to retirement with the words in the ring before."""
    config = load_config(config_name)
    opcode = Opcode.MM if isinstance(case.instruction, MatrixMatrix) else Opcode.MV
    target = LoadTarget.WEIGHTS if case.instruction.ring == Ring.WEIGHTS else LoadTarget.KV
    instructions = (
        Load(target=target, address=0, length=len(case.stripes), release=mask(opcode)),
        replace(case.instruction, wait=mask(Opcode.LD), release=mask(Opcode.SYS)),
        System(operation=SystemOperation.DONE, wait=mask(opcode)),
    )
    cores = tuple(CoreProgram(instructions, ("", "", "")) for _ in range(config.cores))
    images = [MemoryImage(config.stripe_bytes, case.stripes)] * config.cores
    registers = {index: value for index, value in enumerate(case.registers) if index}
    result = Machine(config, images).run(Program(1, cores), registers, values=False)
    found = next(item for item in result.retirements if item.opcode == opcode)
    return found.end - found.start


@pytest.mark.parametrize("preset", ["tiny", "odd"])
def test_simulator_agrees(preset: str) -> None:
    """To the cycle, also where a scale word comes between index or high-bit words and data that serve two steps."""
    config, rng = load_config(preset), np.random.default_rng(5)
    three_words, done = set(), 0
    while done < 120:
        shape = random_shape(config, rng, largest=48)
        if shape.tiles * words_of(config, shape) > config.kv_ring_words:
            continue
        case = make_case(config, rng, shape)
        expected = instruction_cycles(case.instruction, config, case.registers)
        assert _simulated(case, preset) == expected, shape
        if shape.group_steps and (shape.kept != DENSE or shape.bits == 3):
            three_words.add((shape.mm, shape.bits))
        done += 1
    assert {(False, 3), (True, 4), (False, 2)} <= three_words
