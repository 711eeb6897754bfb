"""Races in the program of a compiled step."""

from __future__ import annotations

from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.races import Race, find_races
from cosyn.codegen.fpga.compile_step import CompiledStep
from cosyn.codegen.fpga.regions import Layout


def races(layout: Layout, step: CompiledStep, position: int) -> list[Race]:
    """Races of the step's program at that position; without checksums, which need the weights."""
    registers = register_file(layout.registers(position, step.tokens))
    program = step.program(lambda _core, _draft: None)
    return find_races(layout.plan.config, program, registers, [memory.stripes for memory in layout.maps])
