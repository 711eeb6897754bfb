"""Small programs written by hand, and the memory that they work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Instruction, Registers, Store, System, SystemOperation, mask
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program
from cosyn.accelerator_model.simulator import Machine, RunResult

DONE = System(operation=SystemOperation.DONE)
F32 = NDArray[np.float32]


class Memory:
    """Stripes of one core, filled from the front; stripe 0 is left empty."""

    def __init__(self, config: AcceleratorConfig, stripes: int = 2048) -> None:
        self.config = config
        self.stripes = np.zeros((stripes, config.stripe_bytes), np.uint8)
        self._next = 1

    def put(self, data: NDArray[np.generic]) -> tuple[int, int]:
        """Address and stripes of a copy of `data`, padded with zeros."""
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        address, count = self.take(raw.size)
        self.stripes[address : address + count].reshape(-1)[: raw.size] = raw
        return address, count

    def take(self, size: int) -> tuple[int, int]:
        """Address and stripes of `size` zero bytes."""
        count = -(-size // self.config.stripe_bytes)
        address, self._next = self._next, self._next + count
        return address, count

    def floats(self, address: int, count: int) -> F32:
        """The f32 values from a stripe."""
        return self.stripes[address:].reshape(-1)[: 4 * count].view(np.float32)

    @property
    def image(self) -> MemoryImage:
        return MemoryImage(self.config.stripe_bytes, self.stripes)


def in_sequence(*instructions: Instruction) -> tuple[Instruction, ...]:
    """The instructions, each waiting for the one before, and DONE."""
    found = [*instructions, DONE]
    for index in range(1, len(found)):
        before, after = found[index - 1], found[index]
        found[index - 1] = replace(before, release=before.release | mask(after.opcode))
        found[index] = replace(after, wait=after.wait | mask(before.opcode))
    return tuple(found)


def program(*cores: Sequence[Instruction], tokens: int = 1) -> Program:
    """A program without node names."""
    return Program(tokens, tuple(CoreProgram(tuple(core), ("",) * len(core)) for core in cores))


def run(
    config: AcceleratorConfig,
    cores: Sequence[Sequence[Instruction]],
    memories: Sequence[Memory],
    registers: Registers | None = None,
    *,
    timing: bool = True,
) -> RunResult:
    """Run; idle cores get an empty memory and only DONE. With timing, check that it does not change results."""
    streams = [*cores] + [(DONE,)] * (config.cores - len(cores))
    images = [memory.image for memory in memories]
    images += [Memory(config, 4).image for _ in range(config.cores - len(images))]
    copies = [MemoryImage(image.stripe_bytes, image.stripes.copy()) for image in images]
    result = Machine(config, images).run(program(*streams), registers or {}, timing=timing)
    if timing:
        plain = Machine(config, copies).run(program(*streams), registers or {}, timing=False)
        assert digests(plain) == digests(result)
        for image, copy in zip(images, copies, strict=True):
            np.testing.assert_array_equal(image.stripes, copy.stripes)
    return result


def digests(result: RunResult) -> dict[tuple[int, int], int]:
    """The digest of every instruction, by core and index."""
    return {(item.core, item.index): item.digest for item in result.retirements}


def store_lines(config: AcceleratorConfig, memory: Memory, line: int, rows: int, stride: int, lines: int) -> Store:
    """An ST of vector lines; row r is at address + r x length."""
    length = -(-lines // config.stripe_lines)
    address, _ = memory.take(rows * length * config.stripe_bytes)
    return Store(address=address, rows=rows, row_stride=length, length=length, source=line, source_stride=stride)


def lines_of(config: AcceleratorConfig, values: F32) -> F32:
    """f32 rows padded to whole stripes."""
    width = config.stripe_bytes // 4
    rows = np.atleast_2d(values)
    padded = np.zeros((rows.shape[0], -(-rows.shape[1] // width) * width), np.float32)
    padded[:, : rows.shape[1]] = rows
    return padded
