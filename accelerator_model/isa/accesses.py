"""Which words, lines and stripes an instruction reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import ld_meaning, matrix_meaning, misc_meaning, st_meaning
from cosyn.accelerator_model.isa.instruction import Instruction
from cosyn.accelerator_model.isa.ld import Load, LoadTarget
from cosyn.accelerator_model.isa.matrix import MatrixInstruction
from cosyn.accelerator_model.isa.misc import Misc, Operand, Output, Reduction
from cosyn.accelerator_model.isa.operands import run_lines
from cosyn.accelerator_model.isa.st import Store, StoreMode
from cosyn.accelerator_model.isa.sys import System, SystemOperation

Places = NDArray[np.intp]


class Space(IntEnum):
    """A memory of a core and the unit of its places."""

    VECTOR = 0
    """Words of the vector buffer."""
    ACTIVATION = 1
    """Lines of the activation banks: bank x activation_lines + line."""
    MEMORY = 2
    """Stripes."""


class Access(NamedTuple):
    """Places that an instruction touches."""

    space: Space
    write: bool
    places: Places


def accesses(instruction: Instruction, config: AcceleratorConfig, registers: Sequence[int]) -> Iterator[Access]:
    """What a core's instruction touches in its own memories. EXCHANGE also writes those of others."""
    if isinstance(instruction, Load):
        yield from _load(instruction, config, registers)
    elif isinstance(instruction, Store):
        yield from _store(instruction, config, registers)
    elif isinstance(instruction, MatrixInstruction):
        yield from _matrix(instruction, config, registers)
    elif isinstance(instruction, Misc):
        yield from _misc(instruction, config, registers)
    elif isinstance(instruction, System) and instruction.operation == SystemOperation.EXCHANGE:
        yield Access(Space.VECTOR, False, exchanged_words(instruction, config))


def exchanged_words(instruction: System, config: AcceleratorConfig) -> Places:
    """The vector words that EXCHANGE sends."""
    lines = run_lines(instruction.base, instruction.rows, instruction.row_stride, instruction.lines)
    return _words(lines, config)


def _words(lines: Places, config: AcceleratorConfig) -> Places:
    return (lines.reshape(-1, 1) * config.lanes + np.arange(config.lanes)).reshape(-1)


def _rows(config: AcceleratorConfig, first: int, rows: int, line: int, row_lines: int, count: int) -> Places:
    """Activation lines of the first `count` bytes of rows."""
    row = first + np.arange(rows)
    lines = line + row // config.token_group * row_lines
    within = np.arange(-(-count // config.activation_line_bytes))
    return ((row % config.token_group * config.activation_lines + lines)[:, None] + within).reshape(-1)


def _load(instruction: Load, config: AcceleratorConfig, registers: Sequence[int]) -> Iterator[Access]:
    runs = ld_meaning.shape(instruction, registers)
    stripes = run_lines(runs.address, runs.rows, runs.row_stride, runs.length).reshape(-1)
    yield Access(Space.MEMORY, False, stripes)
    if instruction.target == LoadTarget.VECTOR:
        length = runs.length * config.stripe_lines
        lines = run_lines(instruction.vector_line, runs.rows, instruction.vector_stride, length)
        yield Access(Space.VECTOR, True, _words(lines, config))


def _store(instruction: Store, config: AcceleratorConfig, registers: Sequence[int]) -> Iterator[Access]:
    yield Access(Space.MEMORY, True, np.unique(st_meaning.addresses(instruction, config, registers)))
    rows, length = instruction.rows, instruction.length
    if instruction.mode == StoreMode.LINES:
        lines = run_lines(instruction.source, rows, instruction.source_stride, length * config.stripe_lines)
        yield Access(Space.VECTOR, False, _words(lines, config))
    elif instruction.mode == StoreMode.SCALE:
        yield Access(Space.VECTOR, False, instruction.source + np.arange(rows))
    else:
        count = length * (config.chain_length if instruction.mode == StoreMode.KEY else config.tile_columns)
        places = _rows(config, instruction.row, rows, instruction.source, instruction.source_stride, count)
        yield Access(Space.ACTIVATION, False, places)


def _matrix(instruction: MatrixInstruction, config: AcceleratorConfig, registers: Sequence[int]) -> Iterator[Access]:
    sizes = matrix_meaning.shape(instruction, config, registers)
    count = sizes.steps * config.window(sizes.kept)
    line, row_lines = instruction.activation_line, instruction.row_lines
    yield Access(Space.ACTIVATION, False, _rows(config, instruction.row, sizes.rows, line, row_lines, count))
    length = sizes.tiles * config.tile_columns // config.lanes
    if instruction.column_scaled:
        words = _words(instruction.column_scale + np.arange(length), config)
        yield Access(Space.VECTOR, False, words)
    if instruction.token_scaled:
        yield Access(Space.VECTOR, False, instruction.token_scale + np.arange(sizes.rows))
    lines = run_lines(instruction.destination, sizes.rows, instruction.destination_stride, length)
    yield Access(Space.VECTOR, True, _words(lines, config))


def _misc(instruction: Misc, config: AcceleratorConfig, registers: Sequence[int]) -> Iterator[Access]:
    sizes = misc_meaning.shape(instruction, config, registers)
    taking_part = misc_meaning.taking_part(instruction, sizes.rows, sizes.columns, registers).reshape(-1)
    for name in "abcd":
        kind = Operand.VECTOR if name == "a" else Operand(getattr(instruction, f"{name}_kind"))
        first = getattr(instruction, name)
        if kind == Operand.VECTOR:
            lines = run_lines(first, sizes.rows, getattr(instruction, f"{name}_stride"), sizes.lines)
            # What is masked off is read, but what is read does not matter.
            yield Access(Space.VECTOR, False, _words(lines, config)[taking_part])
        elif kind == Operand.ROW:
            yield Access(Space.VECTOR, False, first + np.arange(sizes.rows))
    if instruction.output == Output.VECTOR:
        lines = run_lines(instruction.destination, sizes.rows, instruction.destination_stride, sizes.lines)
        yield Access(Space.VECTOR, True, _words(lines, config))
    elif instruction.output == Output.ACTIVATION:
        stride, line = instruction.destination_stride, instruction.destination
        places = _rows(config, instruction.destination_row, sizes.rows, line, stride, sizes.columns)
        yield Access(Space.ACTIVATION, True, places)
    if instruction.reduction != Reduction.NONE:
        yield Access(Space.VECTOR, True, instruction.reduce_to + np.arange(sizes.rows))
