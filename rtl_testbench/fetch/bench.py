"""cocotb tests of cosyn_fetch."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import (
    Instruction,
    Load,
    LoadTarget,
    MatrixMatrix,
    MatrixVector,
    Misc,
    Store,
    System,
    SystemOperation,
    crc16,
)
from cosyn.rtl_testbench.models.axi_memory import ReadMemory
from cosyn.rtl_testbench.models.pauses import Pause, never, sometimes

BASE = 0x1340
AHEAD = 8
"""Instructions that may be requested and not yet dispatched."""


def _random_instruction(source: random.Random) -> Instruction:
    kinds: list[type[Instruction]] = [Load, Store, MatrixMatrix, MatrixVector, Misc, System]
    kind = source.choice(kinds)
    values: dict[str, Any] = {"wait": source.getrandbits(6), "release": source.getrandbits(6)}
    for name, _, spec in kind.layout():
        if spec.choices is not None:
            values[name] = source.choice(list(spec.choices))
        elif spec.is_float:
            values[name] = source.uniform(-9, 9)
        else:
            values[name] = source.getrandbits(spec.width)
    if kind is System:
        values["operation"] = SystemOperation.BARRIER
    return kind(**values)


class Bench:
    """Instruction memory in front, six queues behind."""

    def __init__(self, dut: Any, program: list[bytes], **options: Any) -> None:
        self.dut, self.program = dut, program
        self.full: Pause = options.pop("full", never)
        self.options = options
        self.out: list[tuple[int, int, int]] = []
        """Cycle, class and bits of every dispatched instruction."""
        self.error: tuple[int, int] | None = None
        self.cycle = 0
        self._ready = 0

    async def start(self) -> None:
        """Reset, and start at BASE."""
        dut = self.dut
        Clock(dut.clk_i, 10, unit="ns").start()
        image = bytes(BASE) + b"".join(self.program) + bytes(64 * AHEAD)
        beats = np.frombuffer(image, np.uint8).reshape(-1, 16)
        self.memory = ReadMemory(dut, 1, 16, beats, fixed_beats=4, **self.options)
        dut.rst_i.value, dut.start_i.value, dut.halt_i.value = 1, 0, 0
        dut.base_i.value, dut.ready_i.value = BASE, 0
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value, dut.start_i.value = 0, 1
        await RisingEdge(dut.clk_i)
        dut.start_i.value = 0

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        await RisingEdge(dut.clk_i)
        valid = dut.valid_o.value.to_unsigned()
        assert valid.bit_count() <= 1
        if valid & self._ready:
            self.out.append((self.cycle, valid.bit_length() - 1, dut.inst_o.value.to_unsigned()))
        if dut.error_o.value and self.error is None:
            self.error = dut.error_code_o.value.to_unsigned(), dut.error_detail_o.value.to_unsigned()
        self.memory.cycle()
        assert len(self.memory.requests) <= len(self.out) + AHEAD
        self._ready = sum(1 << i for i in range(6) if not self.full())
        dut.ready_i.value = self._ready
        self.cycle += 1

    async def run(self) -> None:
        """Until DONE is dispatched; then compare, and see the port become idle."""
        await self.start()
        while len(self.out) < len(self.program):
            await self.step()
            assert self.error is None
            assert self.cycle < 200 * len(self.program)
        for _ in range(100):
            await self.step()
        assert len(self.out) == len(self.program)
        assert self.error is None
        assert not self.dut.active_o.value
        assert self.dut.idle_o.value
        assert self.dut.fetched_o.value.to_unsigned() == len(self.program)
        for (_, unit, bits), data in zip(self.out, self.program, strict=True):
            assert bits == int.from_bytes(data, "little")
            assert unit == bits & 15

    async def fail(self) -> tuple[int, int]:
        """Until an error is reported; no more comes out after it."""
        await self.start()
        while self.error is None:
            await self.step()
            assert self.cycle < 2000, "no error was reported"
        count = len(self.out)
        self.dut.halt_i.value = 1
        for _ in range(100):
            await self.step()
        assert len(self.out) == count == self.error[1]
        assert self.dut.idle_o.value
        return self.error


def _seed() -> random.Random:
    return random.Random(cocotb.RANDOM_SEED)


DONE = System(operation=SystemOperation.DONE).encode()


def _program(source: random.Random, count: int) -> list[bytes]:
    return [*(_random_instruction(source).encode() for _ in range(count)), DONE]


@cocotb.test
async def only_done(dut: Any) -> None:
    await Bench(dut, [DONE]).run()


@cocotb.test
async def every_four_cycles(dut: Any) -> None:
    """The port's rate, while the latency fits what is requested ahead; the first after start as the README says."""
    bench = Bench(dut, _program(_seed(), 60), latency=8)
    await bench.run()
    cycles = [cycle for cycle, _, _ in bench.out]
    assert all(b - a == 4 for a, b in itertools.pairwise(cycles))
    first = bench.memory.requests[0][0]
    assert first == 1, "start to AR"
    assert cycles[0] - first == 9 + 3 + 1, "AR to dispatch: latency + 1, the other three beats, 1"


@cocotb.test
async def random_free(dut: Any) -> None:
    await Bench(dut, _program(_seed(), 80)).run()


@cocotb.test
async def random_idle_memory(dut: Any) -> None:
    source = _seed()
    await Bench(dut, _program(source, 80), idle=sometimes(source, 0.4), slow=sometimes(source, 0.5)).run()


@cocotb.test
async def random_full_queues(dut: Any) -> None:
    source = _seed()
    await Bench(dut, _program(source, 80), full=sometimes(source, 0.8)).run()


@cocotb.test
async def flipped_bits(dut: Any) -> None:
    """A flip of any bit, the CRC's own included, stops the program there."""
    source = _seed()
    for bit in [0, 3, 4, 15, 16, 31, 511, *(source.randrange(512) for _ in range(20))]:
        program = _program(source, 12)
        data = bytearray(program[7])
        data[bit // 8] ^= 1 << bit % 8
        program[7] = bytes(data)
        assert await Bench(dut, program).fail() == (ErrorCode.INSTRUCTION_CRC, 7), f"bit {bit}"


def _with_crc(value: int) -> bytes:
    clean = value & ~(0xFFFF << 16)
    return (clean | crc16(clean.to_bytes(64, "little")) << 16).to_bytes(64, "little")


@cocotb.test
async def bad_codes(dut: Any) -> None:
    """Opcodes and choices that do not exist, with a good CRC."""
    kinds: list[type[Instruction]] = [Load, Misc, System]
    positions = {(kind, name): low for kind in kinds for name, low, _ in kind.layout()}
    cases = [_with_crc(6), _with_crc(15)]
    bad: list[tuple[type[Instruction], str, int]] = []
    bad += [(Load, "target", 3), (Misc, "function", 5), (Misc, "b_kind", 5), (Misc, "c_kind", 6), (Misc, "d_kind", 7)]
    bad += [(Misc, "reduction", 5), (Misc, "output", 3), (System, "operation", 4)]
    cases += [_with_crc(int(kind.opcode) | code << positions[kind, name]) for kind, name, code in bad]
    for case in cases:
        program = [Load(target=LoadTarget.KV, length=3).encode(), case, DONE]
        assert await Bench(dut, program).fail() == (ErrorCode.INSTRUCTION_CODE, 1)


@cocotb.test
async def a_read_error(dut: Any) -> None:
    """It counts for the instruction that it hits ..."""
    program = _program(_seed(), 6)
    bench = Bench(dut, program, fail={BASE // 16 + 4 * 3 + 2})
    assert await bench.fail() == (ErrorCode.AXI_READ, 3)


@cocotb.test
async def a_read_error_behind_done(dut: Any) -> None:
    """... and not behind the end of the program."""
    program = _program(_seed(), 3)
    await Bench(dut, program, fail={BASE // 16 + 4 * 4}).run()
