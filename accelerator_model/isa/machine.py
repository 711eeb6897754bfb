"""What a core remembers: memory, weight rings, activation banks, vector buffer and registers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import REGISTERS, AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa.matrix import Ring

Bytes = NDArray[np.uint8]
Lines = NDArray[np.intp]


class StripeRing:
    """A weight ring: stripes in order of arrival. Its depth is a matter of time, so of the cycle simulator."""

    def __init__(self, stripe_bytes: int) -> None:
        self._parts: deque[Bytes] = deque()
        self._stripe_bytes = stripe_bytes
        self.stripes = 0

    def push(self, stripes: Bytes) -> None:
        """Append `[n, stripe_bytes]`."""
        if len(stripes):
            self._parts.append(stripes)
            self.stripes += len(stripes)

    def pop(self, count: int) -> Bytes:
        """The first `count` stripes; ProgramError when there are fewer."""
        if count > self.stripes:
            raise ProgramError(f"the ring holds {self.stripes} stripes, {count} are read: LD and MM/MV disagree")
        taken: list[Bytes] = []
        self.stripes -= count
        while count:
            part = self._parts.popleft()
            if len(part) > count:
                self._parts.appendleft(part[count:])
                part = part[:count]
            taken.append(part)
            count -= len(part)
        if len(taken) == 1:
            return taken[0]
        return np.concatenate(taken) if taken else np.zeros((0, self._stripe_bytes), np.uint8)


class CoreState:
    """One core's memories; `*_known` mark what the running program has written, so that stale reads are errors."""

    def __init__(self, config: AcceleratorConfig, memory: Bytes) -> None:
        if memory.ndim != 2 or memory.shape[1] != config.stripe_bytes or memory.dtype != np.uint8:
            raise ProgramError(
                f"a memory image of {config.name} is uint8 [stripes, {config.stripe_bytes}],"
                f" found {memory.dtype} {list(memory.shape)}"
            )
        self.config = config
        self.memory = memory
        bank = (config.token_group, config.activation_lines, config.activation_line_bytes)
        self.activation = np.zeros(bank, np.uint8)
        self.vector = np.zeros((config.vector_lines, config.lanes), np.uint32)
        """Raw bits of the 32-bit floats."""
        self.activation_known = np.zeros(bank, np.bool_)
        self.vector_known = np.zeros(self.vector.shape, np.bool_)
        self.registers: tuple[int, ...] = (0,) * REGISTERS
        self.rings = {ring: StripeRing(config.stripe_bytes) for ring in Ring}

    def start(self, registers: Sequence[int]) -> None:
        """Begin a program: nothing on chip counts as written, the rings are empty."""
        self.registers = tuple(registers)
        self.activation_known[:] = False
        self.vector_known[:] = False
        self.rings = {ring: StripeRing(self.config.stripe_bytes) for ring in Ring}

    # -- vector buffer ------------------------------------------------------------------------------------------

    def read_lines(self, lines: Lines, what: str, needed: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Vector lines `[..., lanes]` as f32; those lanes of `needed` (all by default) must have been written."""
        known = self.vector_known[lines]
        if needed is not None:
            known = known | ~needed
        if not known.all():
            first = np.argwhere(~known)[0]
            line = int(lines[tuple(first[:-1])])
            raise ProgramError(f"{what} reads vector line {line} lane {int(first[-1])}, which nothing has written")
        return self.vector[lines].view(np.float32)

    def read_words(self, words: Lines, what: str) -> NDArray[np.float32]:
        """Single words of the vector buffer as f32."""
        known = self.vector_known.reshape(-1)[words]
        if not known.all():
            word = int(words[~known][0])
            lanes = self.config.lanes
            raise ProgramError(
                f"{what} reads vector line {word // lanes} lane {word % lanes}, which nothing has written"
            )
        return self.vector.reshape(-1)[words].view(np.float32)

    def write_lines(self, lines: Lines, values: NDArray[np.float32] | NDArray[np.uint32]) -> None:
        """Write whole vector lines `[..., lanes]`."""
        self.vector[lines] = values.view(np.uint32)
        self.vector_known[lines] = True

    def write_words(self, words: Lines, values: NDArray[np.float32]) -> None:
        """Write single words of the vector buffer."""
        self.vector.reshape(-1)[words] = values.view(np.uint32)
        self.vector_known.reshape(-1)[words] = True

    # -- activation buffer --------------------------------------------------------------------------------------

    def activation_place(self, row: int, line: int, row_lines: int) -> tuple[int, int]:
        """Bank and first line of activation row `row` of a tensor at `line`."""
        group = self.config.token_group
        return row % group, line + row // group * row_lines

    def read_activation(self, row: int, line: int, row_lines: int, count: int, what: str) -> NDArray[np.int8]:
        """The first `count` bytes of an activation row."""
        bank, first = self.activation_place(row, line, row_lines)
        width = self.config.activation_line_bytes
        end = first + -(-count // width)
        known = self.activation_known[bank, first:end].reshape(-1)[:count]
        if not known.all():
            byte = int(np.argmin(known))
            raise ProgramError(
                f"{what} reads activation bank {bank} line {first + byte // width} byte {byte % width}"
                f" (row {row}, column {byte}), which nothing has written"
            )
        return self.activation[bank, first:end].reshape(-1)[:count].view(np.int8)

    def write_activation(self, row: int, line: int, row_lines: int, values: NDArray[np.int8]) -> None:
        """Write the first bytes of an activation row."""
        bank, first = self.activation_place(row, line, row_lines)
        width = self.config.activation_line_bytes
        end = first + -(-values.size // width)
        self.activation[bank, first:end].reshape(-1)[: values.size] = values.view(np.uint8)
        self.activation_known[bank, first:end].reshape(-1)[: values.size] = True
