"""MISC passes against numpy: operands, functions, masks, reductions, outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cosyn.accelerator_model.config import REGISTERS, AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import (
    Function,
    Load,
    LoadTarget,
    Misc,
    Operand,
    Output,
    Reduction,
    Register,
    Registers,
)
from cosyn.accelerator_model.isa.operands import register_number
from cosyn.accelerator_model.numerics import reduce, special
from cosyn.accelerator_model.presets import load_config
from tests.accelerator_model.simulator.programs import Memory, in_sequence, lines_of, run, store_lines

F32 = NDArray[np.float32]
CONFIGS = ("tiny", "odd")
ROWS, COLUMNS = 3, 24
A, B, C, D, OUT, WORDS = 0, 200, 400, 600, 800, 1000
"""Vector lines of the operands, the result and single words."""


class Bench:
    """Operands in the vector buffer, one pass, and its result back in memory."""

    def __init__(self, preset: str) -> None:
        self.config: AcceleratorConfig = load_config(preset)
        self.memory = Memory(self.config)
        generator = np.random.default_rng(1)
        self.a, self.b, self.c, self.d = (
            generator.standard_normal((ROWS, COLUMNS)).astype(np.float32) for _ in range(4)
        )
        self.words = generator.standard_normal(ROWS).astype(np.float32)
        self.stride = 8
        places = [(A, self.a), (B, self.b), (C, self.c), (D, self.d), (OUT, 0 * self.a), (WORDS, self.words)]
        self.loads = [self.load(line, values) for line, values in places]

    def load(self, line: int, values: F32) -> Load:
        padded = lines_of(self.config, values)
        address, count = self.memory.put(padded)
        rows = padded.shape[0]
        stride = -(-padded.shape[1] // self.config.lanes)
        self.stride = max(self.stride, stride)
        return Load(target=LoadTarget.VECTOR, address=address, rows=rows, length=count // rows,
                    row_stride=count // rows, vector_line=line, vector_stride=stride)  # fmt: skip

    @property
    def line_stride(self) -> int:
        return -(-lines_of(self.config, self.a).shape[1] // self.config.lanes)

    def result(self, misc: Misc, line: int = OUT, registers: Registers | None = None) -> F32:
        lines = self.line_stride
        store = store_lines(self.config, self.memory, line, ROWS, lines, lines)
        run(self.config, [in_sequence(*self.loads, misc, store)], [self.memory], registers)
        return self.memory.floats(store.address, ROWS * lines * self.config.lanes).reshape(ROWS, -1)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (Function.IDENTITY, lambda x: x),
        (Function.EXP, special.exp),
        (Function.RECIPROCAL, special.reciprocal),
        (Function.RSQRT, special.rsqrt),
        (Function.RELU, lambda x: np.maximum(x, 0)),
    ],
)
@pytest.mark.parametrize("negate", [0, 1])
def test_a_pass_multiplies_adds_applies_and_multiplies(
    preset: str, function: Function, reference: Callable[[F32], F32], negate: int
) -> None:
    bench = Bench(preset)
    s = bench.line_stride
    misc = Misc(
        function=function, rows=ROWS, columns=COLUMNS, a=A, a_stride=s, output=Output.VECTOR, destination=OUT,
        destination_stride=s, b_kind=Operand.VECTOR, b=B, b_stride=s, c_kind=Operand.VECTOR, c=C, c_stride=s,
        c_negate=negate, d_kind=Operand.VECTOR, d=D, d_stride=0,
    )  # fmt: skip
    product = bench.a * bench.b
    inner = product - bench.c if negate else product + bench.c
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        expected = np.clip(reference(inner) * bench.d[0], -largest, largest)
    np.testing.assert_array_equal(bench.result(misc)[:, :COLUMNS], expected)


@pytest.mark.parametrize("preset", CONFIGS)
def test_operands_may_be_immediates_and_one_word_per_row(preset: str) -> None:
    bench = Bench(preset)
    s = bench.line_stride
    misc = Misc(
        rows=ROWS, columns=COLUMNS, a=A, a_stride=s, output=Output.VECTOR, destination=OUT, destination_stride=s,
        b_kind=Operand.ROW, b=WORDS * bench.config.lanes, c_kind=Operand.IMMEDIATE1, d_kind=Operand.IMMEDIATE0,
        immediate0=0.3, immediate1=-1.7,
    )  # fmt: skip
    expected = (bench.a * bench.words[:, None] + np.float32(-1.7)) * np.float32(0.3)
    np.testing.assert_array_equal(bench.result(misc)[:, :COLUMNS], expected)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize(
    ("causal", "window", "sinks"), [(0, 0, 0), (1, 0, 3), (1, 5, 0), (0, 5, 1), (1, 2, 4), (0, 3, 9)]
)
@pytest.mark.parametrize("bank", [None, 0, 3])
def test_columns_outside_the_mask_are_zero(preset: str, causal: int, window: int, sinks: int, bank: int | None) -> None:
    """`bank` None: without a register."""
    bench = Bench(preset)
    s = bench.line_stride
    misc = Misc(
        rows=ROWS, columns=COLUMNS, a=A, a_stride=s, output=Output.VECTOR, destination=OUT, destination_stride=s,
        valid=7 if bank is None else 0, valid_reg=0 if bank is None else Register.VALID, causal=causal, window=window,
        sinks=sinks, bank=bank or 0, c_kind=Operand.IMMEDIATE0, immediate0=2.0,
    )  # fmt: skip
    expected = bench.a + np.float32(2)
    for row in range(ROWS):
        high = 7 + (row if causal else 0)
        low = max(0, high - window) if window else 0
        expected[row, min(sinks, low) : low] = 0
        expected[row, high:] = 0
    registers = {number: 1 for number in range(1, REGISTERS)}
    registers[register_number(Register.VALID, bank or 0)] = 7
    np.testing.assert_array_equal(bench.result(misc, registers=registers)[:, :COLUMNS], expected)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize("reduction", [r for r in Reduction if r != Reduction.NONE])
def test_reductions_take_only_valid_columns(preset: str, reduction: Reduction) -> None:
    bench = Bench(preset)
    s, lanes = bench.line_stride, bench.config.lanes
    misc = Misc(
        rows=ROWS, columns=COLUMNS, a=A, a_stride=s, reduction=reduction, reduce_to=OUT * lanes + 1, valid=10, causal=1
    )
    expected = np.zeros(ROWS, np.float32)
    for row in range(ROWS):
        y = np.zeros((1, COLUMNS), np.float32)
        y[0, : 10 + row] = bench.a[row, : 10 + row]
        taken = y[0, : 10 + row]
        expected[row] = {
            Reduction.SUM: lambda y=y: reduce.reduce_sum(y, lanes)[0],
            Reduction.SUM_SQUARES: lambda y=y: reduce.reduce_sum_squares(y, lanes)[0],
            Reduction.MAXIMUM: taken.max,
            Reduction.ABSOLUTE_MAXIMUM: lambda taken=taken: np.abs(taken).max(),
        }[reduction]()
        if reduction in (Reduction.SUM, Reduction.SUM_SQUARES):
            np.testing.assert_allclose(expected[row], (taken**2 if reduction == 2 else taken).sum(), rtol=1e-4)
    np.testing.assert_array_equal(bench.result(misc).reshape(-1)[1 : 1 + ROWS], expected)


@pytest.mark.parametrize("preset", CONFIGS)
def test_a_pass_may_write_the_lines_it_reads(preset: str) -> None:
    bench = Bench(preset)
    s = bench.line_stride
    misc = Misc(rows=ROWS, columns=COLUMNS, a=A, a_stride=s, b_kind=Operand.VECTOR, b=A, b_stride=s,
                output=Output.VECTOR, destination=A, destination_stride=s)  # fmt: skip
    np.testing.assert_array_equal(bench.result(misc, line=A)[:, :COLUMNS], bench.a * bench.a)


def test_a_pass_may_not_read_what_it_has_overwritten() -> None:
    bench = Bench("tiny")
    misc = Misc(rows=2, columns=8, a=A, a_stride=2, output=Output.VECTOR, destination=A + 2, destination_stride=2)
    with pytest.raises(ProgramError, match=r"MISC\.a reads vector line 2 after MISC\.destination has overwritten it"):
        bench.result(misc)


def test_reading_what_nothing_wrote_is_an_error() -> None:
    bench = Bench("tiny")
    misc = Misc(columns=8, a=5000, output=Output.VECTOR, destination=OUT)
    text = r"core 0, instruction 6: MISC\.a reads vector line 5000 lane 0, which nothing has written; in: MISC "
    with pytest.raises(ProgramError, match=text):
        bench.result(misc)


def test_masked_columns_need_not_have_been_written() -> None:
    bench = Bench("tiny")
    s = bench.line_stride
    misc = Misc(rows=ROWS, columns=64, a=A, a_stride=0, valid=8, reduction=Reduction.SUM, reduce_to=OUT * 4)
    assert bench.result(misc)[0, 0] == reduce.reduce_sum(bench.a[:1, :8], bench.config.lanes)[0]
    assert s == 6
