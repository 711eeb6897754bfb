"""What MISC demands and does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.digest import digest, fold
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.misc import Function, Misc, Operand, Output, Reduction
from cosyn.accelerator_model.isa.operands import out_of_range, replaced, run_lines
from cosyn.accelerator_model.numerics import float32, reduce, special

F32 = NDArray[np.float32]

_FUNCTIONS = {
    Function.IDENTITY: float32.normalise,
    Function.EXP: special.exp,
    Function.RECIPROCAL: special.reciprocal,
    Function.RSQRT: special.rsqrt,
    Function.RELU: special.relu,
}


class MiscShape(NamedTuple):
    """Sizes of a pass with the registers in place."""

    rows: int
    columns: int
    lines: int
    """Vector lines of a row."""


def shape(instruction: Misc, config: AcceleratorConfig, registers: Sequence[int]) -> MiscShape:
    """The sizes of `instruction`."""
    columns = replaced(instruction.columns, instruction.columns_reg, registers, instruction.bank)
    return MiscShape(instruction.rows, columns, columns // config.lanes)


def problems(instruction: Misc, config: AcceleratorConfig, registers: Sequence[int], stripes: int) -> Iterator[str]:
    """What is not legal about it, a sentence each."""
    rows, columns, lines = shape(instruction, config, registers)
    if rows == 0 or columns == 0:
        yield f"MISC handles nothing: rows {rows}, columns {columns}"
    if columns % config.lanes:
        yield f"MISC.columns {columns} must be a multiple of the {config.lanes} lanes"
        return
    if instruction.output == Output.NONE and instruction.reduction == Reduction.NONE:
        yield "MISC.output and MISC.reduction are both none: the pass has no effect"
    vectors = [("a", Operand.VECTOR, instruction.a, instruction.a_stride)]
    for name in "bcd":
        kind = Operand(getattr(instruction, f"{name}_kind"))
        vectors.append((name, kind, getattr(instruction, name), getattr(instruction, f"{name}_stride")))
    words = [(name, first) for name, kind, first, _ in vectors if kind == Operand.ROW]
    if instruction.reduction != Reduction.NONE:
        words.append(("reduce_to", instruction.reduce_to))
    for name, kind, first, stride in vectors:
        if kind == Operand.VECTOR:
            what = f"MISC.{name}: the vector line"
            yield from out_of_range(what, first, rows, stride, lines, config.vector_lines)
    for name, first in words:
        limit = config.vector_lines * config.lanes
        yield from out_of_range(f"MISC.{name}: the vector word", first, 1, 0, rows, limit)
    yield from _output_problems(instruction, config, rows, columns)
    yield from _overlaps(instruction, rows, lines)


def _output_problems(instruction: Misc, config: AcceleratorConfig, rows: int, columns: int) -> Iterator[str]:
    first, stride = instruction.destination, instruction.destination_stride
    if instruction.output == Output.VECTOR:
        what = "MISC.destination: the vector line"
        yield from out_of_range(what, first, rows, stride, columns // config.lanes, config.vector_lines)
    if instruction.output == Output.ACTIVATION:
        lines = -(-columns // config.activation_line_bytes)
        last = first + (instruction.destination_row + rows - 1) // config.token_group * stride
        what = "MISC.destination: the activation line"
        yield from out_of_range(what, last, 1, 0, lines, config.activation_lines)


def _overlaps(instruction: Misc, rows: int, lines: int) -> Iterator[str]:
    """A pass may write the very lines that it reads, at the same time, but not lines that it reads later."""
    if instruction.output != Output.VECTOR:
        return
    first, stride = instruction.destination, instruction.destination_stride
    end = first + stride * (rows - 1) + lines
    for name in "abcd":
        kind = Operand.VECTOR if name == "a" else getattr(instruction, f"{name}_kind")
        source, step = getattr(instruction, name), getattr(instruction, f"{name}_stride")
        if kind != Operand.VECTOR or source >= end or source + step * (rows - 1) + lines <= first:
            continue
        if source == first and (step == stride or rows == 1):
            continue
        written = run_lines(first, rows, stride, lines).reshape(-1)
        read = run_lines(source, rows, step, lines).reshape(-1)
        order = np.argsort(written, kind="stable")
        place = np.searchsorted(written[order], read)
        found = place < written.size
        when = order[np.minimum(place, written.size - 1)]
        later = found & (written[when] == read) & (when < np.arange(read.size))
        if later.any():
            yield f"MISC.{name} reads vector line {int(read[later][0])} after MISC.destination has overwritten it"


def taking_part(instruction: Misc, rows: int, columns: int, registers: Sequence[int]) -> NDArray[np.bool_]:
    """Columns that count, [rows, columns]."""
    valid = replaced(instruction.valid, instruction.valid_reg, registers, instruction.bank)
    if valid == 0 and not instruction.valid_reg:
        return np.ones((rows, columns), np.bool_)
    high = valid + (np.arange(rows) if instruction.causal else np.zeros(rows, np.intp))
    low = np.maximum(0, high - instruction.window) if instruction.window else np.zeros(rows, np.intp)
    column = np.arange(columns)
    seen = (column >= low[:, None]) | (column < instruction.sinks)
    mask: NDArray[np.bool_] = seen & (column < high[:, None])
    return mask


def execute(instruction: Misc, state: CoreState) -> int:
    """Make the pass; the digest of its writes: per row its lines, then its reduction."""
    config = state.config
    rows, columns, lines = shape(instruction, config, state.registers)
    mask = taking_part(instruction, rows, columns, state.registers)

    def vector(name: str) -> F32:
        stride = getattr(instruction, f"{name}_stride")
        where = run_lines(getattr(instruction, name), rows, stride, lines)
        needed = mask.reshape(rows, lines, config.lanes)
        return state.read_lines(where, f"MISC.{name}", needed).reshape(rows, columns)

    def operand(name: str) -> F32 | None:
        kind = Operand(getattr(instruction, f"{name}_kind"))
        if kind == Operand.NONE:
            return None
        if kind == Operand.VECTOR:
            return vector(name)
        if kind == Operand.ROW:
            words = getattr(instruction, name) + np.arange(rows)
            return state.read_words(words, f"MISC.{name}")[:, None]
        value = instruction.immediate0 if kind == Operand.IMMEDIATE0 else instruction.immediate1
        return np.full((1, 1), value, np.float32)

    y = float32.normalise(vector("a"))
    if (b := operand("b")) is not None:
        y = float32.multiply(y, b)
    if (c := operand("c")) is not None:
        y = float32.subtract(y, c) if instruction.c_negate else float32.add(y, c)
    y = _FUNCTIONS[Function(instruction.function)](y)
    if (d := operand("d")) is not None:
        y = float32.multiply(y, d)
    y = np.where(mask, y, np.float32(0))
    return _write(instruction, state, y, mask)


def _write(instruction: Misc, state: CoreState, y: F32, mask: NDArray[np.bool_]) -> int:
    """Write elements and reductions; the digest."""
    config = state.config
    rows, columns = y.shape
    lines = columns // config.lanes
    addresses, folded = np.zeros((rows, 0), np.intp), np.zeros((rows, 0), np.uint32)
    if instruction.output == Output.VECTOR:
        addresses = run_lines(instruction.destination, rows, instruction.destination_stride, lines)
        raw = np.ascontiguousarray(y).view(np.uint32).reshape(rows, lines, config.lanes)
        folded = np.bitwise_xor.reduce(raw, axis=-1)
        state.write_lines(addresses, raw)
    elif instruction.output == Output.ACTIVATION:
        values = float32.to_int8(y)
        slots = config.activation_line_bytes // config.lanes
        firsts = np.zeros((rows, 1), np.intp)
        for r in range(rows):
            row, stride = instruction.destination_row + r, instruction.destination_stride
            state.write_activation(row, instruction.destination, stride, values[r])
            firsts[r] = state.activation_place(row, instruction.destination, stride)[1]
        addresses = firsts + np.arange(lines) // slots
        folded = fold(values.view(np.uint8).reshape(rows * lines, config.lanes)).reshape(rows, lines)
    if instruction.reduction != Reduction.NONE:
        reduced = _reduced(Reduction(instruction.reduction), y, mask, config.lanes)
        words = instruction.reduce_to + np.arange(rows)
        state.write_words(words, reduced)
        addresses = np.concatenate([addresses, (words // config.lanes)[:, None]], axis=1)
        folded = np.concatenate([folded, reduced.view(np.uint32)[:, None]], axis=1)
    return digest(addresses, folded)


def _reduced(reduction: Reduction, y: F32, mask: NDArray[np.bool_], lanes: int) -> F32:
    """The reduction of each row."""
    if reduction == Reduction.SUM:
        found = reduce.reduce_sum(y, lanes)
    elif reduction == Reduction.SUM_SQUARES:
        found = reduce.reduce_sum_squares(y, lanes)
    elif reduction == Reduction.MAXIMUM:
        found = reduce.reduce_maximum(y, mask)
    else:
        found = reduce.reduce_absolute_maximum(y)
    return np.ascontiguousarray(found, np.float32)
