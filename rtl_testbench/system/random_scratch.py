"""Memory and buffers that a random program fills: what an instruction reads has been written before."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    LoadTarget,
    Register,
)

Bytes = NDArray[np.uint8]

STRIPES = 4096
"""Memory of each core that random programs use."""

_CORNERS = np.frombuffer(
    bytes.fromhex(
        "00000000 80000000 3F800000 BF800000 00000001 007FFFFF 00800000 7F7FFFFF FF7FFFFF"
        "7F800000 FF800000 7FC00000 42FE0000 42FF0000 C2FE0000 3F000000 BF000000 3EFFFFFF"
    ),
    ">u4",
).astype(np.uint32)
"""Zeros, ones, subnormals, the largest numbers, infinities, NaN, and what rounds to the ends of INT8."""


@dataclass(frozen=True, slots=True)
class Region:
    """Rows of the vector buffer that have been written: `rows` rows of `lines` lines, `stride` apart."""

    line: int
    rows: int
    stride: int
    lines: int


@dataclass(frozen=True, slots=True)
class Activations:
    """Rows of the activation buffer that have been written."""

    line: int
    row: int
    rows: int
    row_lines: int
    columns: int


class Scratch:
    """One core's program as it grows, and the places that are free for its next instruction."""

    def __init__(
        self, config: AcceleratorConfig, seed: int, registers: dict[Register, int], core: int, row_unit: int
    ) -> None:
        self.config, self.core, self.registers, self.row_unit = config, core, registers, row_unit
        self.draw = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.memory = self.numpy.integers(0, 256, (STRIPES, config.stripe_bytes), np.uint8)
        self.instructions: list[Instruction] = []
        self.vectors: list[Region] = []
        self.activations: list[Activations] = []
        self._stripe = 0
        self._store = STRIPES // 2
        self._line = 0
        self._activation = 0

    def stripes(self, count: int) -> int:
        """Stripes of memory that no other instruction reads; from the start again when they run out."""
        if self._stripe + count > STRIPES // 2:
            self._stripe = 0
        self._stripe += count
        return self._stripe - count

    def lines(self, count: int) -> int:
        """Lines of the vector buffer; older regions that they overlap are forgotten."""
        if self._line + count > self.config.vector_lines:
            self._line = 0
        first, self._line = self._line, self._line + count
        self.vectors = [r for r in self.vectors if r.line >= first + count or r.line + r.rows * r.stride <= first]
        return first

    def new_region(self, rows: int, lines: int) -> Region:
        """Room for `rows` rows of `lines` lines, with or without gaps; its writer adds it to `vectors`."""
        stride = lines + self.draw.randrange(3)
        return Region(self.lines(rows * stride), rows, stride, lines)

    def region(self, lines: int, rows: int = 1) -> Region:
        """A written region of at least that size; loaded when there is none."""
        fitting = [r for r in self.vectors if r.lines >= lines and r.rows >= rows]
        if fitting and self.draw.random() < 0.8:
            return self.draw.choice(fitting)
        return self.load_region(rows, lines)

    def load_region(self, rows: int, lines: int) -> Region:
        """LD to the vector buffer of numbers near one with corners among them."""
        config = self.config
        length = -(-lines // config.stripe_lines)
        region = self.new_region(rows, length * config.stripe_lines)
        gap = self.draw.randrange(3)
        first = self.stripes(rows * (length + gap))
        values = self.numpy.normal(0, 2, (rows * (length + gap), config.stripe_bytes // 4)).astype(np.float32)
        raw = values.view(np.uint32)
        places = self.numpy.random(raw.shape) < 0.05
        raw[places] = self.numpy.choice(_CORNERS, int(places.sum()))
        self.memory[first : first + len(raw)] = raw.view(np.uint8)
        offset = Register.ROPE_OFFSET if self.draw.random() < 0.3 else 0
        if offset and first < self.registers[Register.ROPE_OFFSET]:
            offset = 0
        self.instructions.append(
            Load(
                target=LoadTarget.VECTOR,
                address=first - (self.registers[Register.ROPE_OFFSET] if offset else 0),
                address_reg=offset,
                length=length,
                rows=rows,
                row_stride=length + gap,
                vector_line=region.line,
                vector_stride=region.stride,
            )
        )
        self.vectors.append(region)
        return region

    def written(self, count: int) -> int:
        """Stripes of memory that only stores touch."""
        if self._store + count > STRIPES:
            self._store = STRIPES // 2
        self._store += count
        return self._store - count

    def activation_target(self, rows: int, lines: int) -> dict[str, int | float]:
        """The fields of MISC that write rows of `lines` vector lines to the activation buffer."""
        config = self.config
        columns = lines * config.lanes
        row_lines = -(-columns // config.activation_line_bytes) + self.draw.randrange(2)
        row = self.draw.randrange(3) * config.token_group
        size = -(-(row + rows) // config.token_group) * row_lines
        if self._activation + size > config.activation_lines:
            self._activation = 0
        line, self._activation = self._activation, self._activation + size
        self.activations = [
            a
            for a in self.activations
            if a.line >= line + size or a.line + -(-(a.row + a.rows) // config.token_group) * a.row_lines <= line
        ]
        self.activations.append(Activations(line, row, rows, row_lines, columns))
        return {"destination": line, "destination_stride": row_lines, "destination_row": row}
