"""Runs passes on the bench and on the instruction's Python meaning, and compares all that they leave behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.machine import CoreState
from cosyn.accelerator_model.isa.misc import Misc, Output
from cosyn.accelerator_model.isa.misc_meaning import execute, shape
from cosyn.rtl_testbench.sfu.passes import LINES, REGISTERS
from cosyn.rtl_testbench.sfu.timing import pass_cycles

_LONGEST = 60_000


class Driver:
    """The bench and the state that its memories must have."""

    def __init__(self, dut: Any, config: AcceleratorConfig) -> None:
        self.dut = dut
        self.config = config
        self.state = CoreState(config, np.zeros((1, config.stripe_bytes), np.uint8))
        self.state.start(REGISTERS)
        self.state.vector_known[:] = True
        self._written_activations: set[tuple[int, int]] = set()

    async def start(self, values: np.ndarray) -> None:
        """Reset, and fill the first LINES lines with the 32-bit patterns `values` [LINES, lanes]."""
        dut = self.dut
        for name in ("misc_valid_i", "deny_i", "fill_i", "peek_i", "act_fill_i", "act_bank_i", "act_line_i", "line_i"):
            getattr(dut, name).value = 0
        dut.registers_i.value = sum(value << 32 * i for i, value in enumerate(REGISTERS))
        dut.rst_i.value = 1
        Clock(dut.clk_i, 10, unit="ns").start()
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        await self.fill(values)

    async def fill(self, values: np.ndarray) -> None:
        """Set the first lines of the vector buffer, on both sides."""
        dut = self.dut
        for line, row in enumerate(values):
            dut.fill_i.value, dut.line_i.value = 1, line
            dut.fill_data_i.value = int.from_bytes(row.astype("<u4").tobytes(), "little")
            self.state.vector[line] = row
            await RisingEdge(dut.clk_i)
        dut.fill_i.value = 0
        await RisingEdge(dut.clk_i)

    async def run(self, item: Misc, deny: int = 0) -> int:
        """Run one pass with `deny` of 256 writes refused; compare its digest and, without refusals, its cycles."""
        dut = self.dut
        expected = execute(item, self.state)
        if item.output == Output.ACTIVATION:
            await self._clear_activations(item)
        dut.deny_i.value = deny
        dut.misc_inst_i.value = int.from_bytes(item.encode(), "little")
        dut.misc_valid_i.value = 1
        while True:
            await RisingEdge(dut.clk_i)
            if dut.misc_ready_o.value == 1:
                break
        dut.misc_valid_i.value = 0
        await RisingEdge(dut.clk_i)
        for _ in range(_LONGEST):
            await RisingEdge(dut.clk_i)
            if dut.done_o.value == 1:
                break
        else:
            raise AssertionError(f"no done after {_LONGEST} cycles: {item.assembly()}")
        dut.deny_i.value = 0
        assert dut.error_o.value == 0, f"error {int(dut.error_o.value)}: {item.assembly()}"
        found = dut.digest_o.value.to_unsigned()
        if found != expected:
            difference = await self.difference(item)
            raise AssertionError(
                f"digest {found:08x}, expected {expected:08x}: {difference or 'memories agree'}: {item.assembly()}"
            )
        cycles = int(dut.cycles_o.value.to_unsigned())
        if not deny:
            formula = pass_cycles(item, self.config, REGISTERS)
            assert cycles == formula, f"{cycles} cycles, the formula says {formula}: {item.assembly()}"
        return cycles

    async def check(self, item: Misc) -> None:
        """Compare all of the vector buffer's used part, and the activation lines that `item` wrote."""
        difference = await self.difference(item)
        assert not difference, f"{difference}: {item.assembly()}"

    async def difference(self, item: Misc) -> str:
        """The first place where memory differs from the expected one, or an empty text."""
        lanes = self.config.lanes
        for line, raw in enumerate(await self._peek(LINES)):
            found = np.frombuffer(raw.to_bytes(4 * lanes, "little"), "<u4")
            wrong = np.flatnonzero(found != self.state.vector[line])
            if wrong.size:
                lane = int(wrong[0])
                expected = int(self.state.vector[line, lane])
                return f"vector line {line} lane {lane} is {int(found[lane]):08x}, expected {expected:08x}"
        for bank, line in sorted(self._places(item)):
            raw_line = await self._peek_activation(bank, line)
            found_bytes = np.frombuffer(raw_line, np.uint8)
            wrong = np.flatnonzero(found_bytes != self.state.activation[bank, line])
            if wrong.size:
                byte = int(wrong[0])
                expected = int(self.state.activation[bank, line, byte])
                return (
                    f"activation bank {bank} line {line} byte {byte} is {int(found_bytes[byte])}, expected {expected}"
                )
        return ""

    async def _peek(self, lines: int) -> list[int]:
        dut = self.dut
        found: list[int] = []
        for line in range(lines + 3):
            dut.peek_i.value, dut.line_i.value = int(line < lines), min(line, lines - 1)
            await RisingEdge(dut.clk_i)
            if dut.peek_valid_o.value == 1:
                found.append(dut.peek_data_o.value.to_unsigned())
        assert len(found) == lines, f"{len(found)} of {lines} lines could be read back"
        return found

    def _places(self, item: Misc) -> set[tuple[int, int]]:
        if item.output != Output.ACTIVATION:
            return set()
        columns = shape(item, self.config, REGISTERS).columns
        places = set()
        for row in range(item.rows):
            bank, first = self.state.activation_place(
                item.destination_row + row, item.destination, item.destination_stride
            )
            places |= {(bank, first + i) for i in range(-(-columns // self.config.activation_line_bytes))}
        return places

    async def _clear_activations(self, item: Misc) -> None:
        """Lines that the pass meets for the first time start from zero on both sides."""
        dut = self.dut
        for bank, line in self._places(item) - self._written_activations:
            dut.act_fill_i.value, dut.act_bank_i.value, dut.act_line_i.value = 1, bank, line
            await RisingEdge(dut.clk_i)
            self._written_activations.add((bank, line))
        dut.act_fill_i.value = 0
        await RisingEdge(dut.clk_i)

    async def _peek_activation(self, bank: int, line: int) -> bytes:
        dut = self.dut
        dut.act_bank_i.value, dut.act_line_i.value = bank, line
        for _ in range(3):
            await RisingEdge(dut.clk_i)
        value: int = dut.act_data_o.value.to_unsigned()
        return value.to_bytes(self.config.activation_line_bytes, "little")
